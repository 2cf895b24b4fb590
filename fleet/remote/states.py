"""`state.json`: where a run is in its life and how it ended, with exactly the fields of `hydra.runs.State`.

The supervisor alone writes it, and after the supervisor's death whoever holds its lock. A disk that is full when a run
ends must not keep the end from being told, so some space is set aside for it while there is any.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from fleet.remote.atomic import read_json, write_json
from fleet.remote.identity import Identity, boot_id, machine_id

LIVE = frozenset({"starting", "running", "stopping", "backoff"})
TERMINAL = frozenset({"completed", "stopped", "failed", "oom", "killed", "lost"})

#: The schema of `state.json` that this version reads and writes.
SCHEMA = 1
#: Bytes set aside: room for a state, the last events and the last frames of the log.
RESERVE_BYTES = 256 << 10
_RESERVE = ".reserve"


class StateFile:
    """The state of a live run, in memory and as far as the disk allows in the file.

    A disk that refuses does not end the run: the newest state is kept and written by the next `retry` that succeeds.
    """

    def __init__(self, path: str, fields: dict[str, Any]) -> None:
        """`fields` are all of `State` that are known; the rest has its default."""
        self._path = path
        self._reserve = os.path.join(os.path.dirname(path), _RESERVE)
        self.fields = {**_DEFAULTS, "machine_id": machine_id(), "boot_id": boot_id(), **fields}
        self.problem: OSError | None = None
        """Why the file does not hold the newest state; None if it does."""

    @property
    def state(self) -> str:
        """The present state."""
        return str(self.fields["state"])

    @property
    def attempt(self) -> int:
        """The present attempt."""
        return int(self.fields["attempt"])

    def enter(self, state: str, **fields: Any) -> None:
        """Go to another state, with fields that change at the same time."""
        self.fields.update(fields, state=state, since=time.time())
        self.retry()

    def note(self, **fields: Any) -> None:
        """Change fields and stay in the state."""
        self.fields.update(fields)
        self.retry()

    def retry(self) -> bool:
        """Write the newest state; returns whether the file holds it now."""
        try:
            self._write()
        except OSError as error:
            self.problem = error
            return False
        self.problem = None
        return True

    def set_aside(self) -> None:
        """Take the reserve, if there is room for it."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(descriptor, b"\0" * RESERVE_BYTES)
            finally:
                os.close(descriptor)

    def free_reserve(self) -> bool:
        """Give the reserve back to the disk, for what is written at the end; returns whether there was one."""
        try:
            os.unlink(self._reserve)
        except OSError:
            return False
        return True

    def _write(self) -> None:
        try:
            write_json(self._path, self.fields)
        except OSError:
            if self.state not in TERMINAL:
                # The reserve is for the end: now the trainer would take it at once.
                raise
            self.free_reserve()
            write_json(self._path, self.fields)


def read_state(path: str) -> dict[str, Any] | None:
    """What `state.json` says; None if there is none, or if it does not say at least run, attempt and state."""
    state = read_json(path)
    if state is None or not isinstance(state.get("run"), str) or not isinstance(state.get("attempt"), int):
        return None
    return state if state.get("state") in LIVE | TERMINAL else None


def process_of(state: dict[str, Any], which: str) -> Identity | None:
    """The identity of the `supervisor` or the `leader` that a state names; None if it names none, or nonsense."""
    process, boot = state.get(which), state.get("boot_id")
    if not isinstance(process, dict) or not isinstance(boot, str):
        return None
    pid, start = process.get("pid"), process.get("start")
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in (pid, start))
    return Identity(boot, int(str(pid)), int(str(start))) if whole else None


def start_field(identity: Identity | None) -> dict[str, int] | None:
    """A process as the state has it."""
    return None if identity is None else {"pid": identity.pid, "start": identity.start}


def exit_field(
    code: int | None = None,
    *,
    kind: str | None = None,
    signal: int | None = None,
    culprit: dict[str, Any] | None = None,
    retry: bool = False,
) -> dict[str, Any]:
    """How a run ended, as `hydra.runs.Exit` has it."""
    return {"code": code, "kind": kind, "signal": signal, "culprit": culprit, "retry": retry}


def culprit_field(rank: int, *, node: int = 0, exception: str | None = None, message: str = "") -> dict[str, Any]:
    """Which rank failed first and with what, as `hydra.runs.Culprit` has it."""
    return {"rank": rank, "node": node, "exception": exception, "message": message}


_DEFAULTS: dict[str, Any] = {
    "schema": SCHEMA,
    "supervisor": None,
    "leader": None,
    "node_rank": 0,
    "node_count": 1,
    "gpus": [],
    "release": None,
    "environment": None,
    "last_step": None,
    "log_offset": None,
    "last_verified_checkpoint": None,
    "restarts_used": 0,
    "exit": None,
}
