"""Requests from outside to a live trainer: `control/{stop,save,profile,eval}.json`.

An operator, or whoever supervises the run, puts a file there; the trainer looks once a second and takes it. Files work
where signals do not: from another user's shell, over a network mount, with data attached. `touch control/stop.json` is
a valid request.

A request is taken by renaming it to `<kind>.seen.json` before it is read, so each is acted on exactly once and stays as
evidence. One that was made before the present trainer took the lock was meant for a dead one and would stop a resumed
run at its first step: it becomes `<kind>.stale.json`. What cannot be read becomes `<name>.rejected.json` and is
reported to the trainer, which puts it in the log.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from hydra.errors import RunError
from hydra.runs.atomic import write_json
from hydra.runs.failures import write_failed
from hydra.runs.following import parse_object
from hydra.runs.layout import RunDirectory
from hydra.runs.lock import lock_status

RequestKind = Literal["stop", "save", "profile", "eval"]
REQUEST_KINDS: Final[frozenset[str]] = frozenset(get_args(RequestKind))


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the trainer."""

    kind: RequestKind
    time: float
    """When it was made, Unix seconds."""
    data: dict[str, Any]
    """What came with it, `{"steps": 3}` of a `profile` for example."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file in `control/` that is no request, and why."""

    name: str
    reason: str


def request(run: RunDirectory, kind: RequestKind, **data: object) -> None:
    """Ask the live trainer of a run for something; a second request of a kind replaces one not yet taken.

    Raises RunError if no trainer lives, because nobody would ever read it, and RunWriteError.
    """
    if kind not in REQUEST_KINDS:
        raise AssertionError(f"unknown kind of request {kind!r}")
    if not lock_status(run.lock).held:
        raise RunError(
            f"run {run.id} has no live trainer to {kind}",
            why="its lock is free, so nobody would read the request",
            fix="resume the run, or ask another one",
            example=f"python trainer.py --resume {run.id}",
        )
    write_json(run.control / f"{kind}.json", {"kind": kind, "time": time.time(), "data": data})


class ControlPoller:
    """Takes requests for the trainer of this process, which holds the run's lock.

    One process of the run polls, rank 0; how the ranks agree on acting is training's own business. What is older than
    the lock is told by the modification times of both files: one clock, the file system's, made both.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._folder, self._since = run.control, run.lock.stat().st_mtime_ns
        self.rejected: list[Rejected] = []
        """Files that were refused since the trainer last emptied this list."""

    def pending(self) -> list[Request]:
        """The requests made since the last call, oldest first. Raises RunWriteError if they cannot be taken."""
        try:
            with os.scandir(self._folder) as entries:
                found = sorted(entry.name for entry in entries if _is_request(entry.name))
            taken = [request for name in found if (request := self._take(name)) is not None]
        except OSError as error:
            raise write_failed(self._folder, error) from error
        return sorted(taken, key=lambda request: request.time)

    def _take(self, name: str) -> Request | None:
        kind = name.removesuffix(".json")
        if kind not in REQUEST_KINDS:
            self._reject(self._folder / name, kind, f"known requests are {', '.join(sorted(REQUEST_KINDS))}")
            return None
        seen = self._folder / f"{kind}.seen.json"
        os.replace(self._folder / name, seen)
        text = seen.read_bytes().strip()
        content = parse_object(text) if text else {}
        if content is None:
            self._reject(seen, kind, "it is not a JSON object")
            return None
        status = seen.stat()
        made = content.get("time", status.st_mtime)
        data = content.get("data", {})
        if not isinstance(made, int | float) or not isinstance(data, dict):
            self._reject(seen, kind, "'time' must be a number and 'data' an object")
            return None
        if status.st_mtime_ns < self._since:
            os.replace(seen, self._folder / f"{kind}.stale.json")
            return None
        return Request(cast(RequestKind, kind), float(made), data)

    def _reject(self, path: Path, stem: str, reason: str) -> None:
        os.replace(path, self._folder / f"{stem}.rejected.json")
        self.rejected.append(Rejected(f"{stem}.json", reason))


def _is_request(name: str) -> bool:
    """Whether a file waits to be taken: those already judged have two suffixes, temporary files begin with a dot."""
    return name.endswith(".json") and "." not in name.removesuffix(".json")
