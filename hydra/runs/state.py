"""`state.json`: where a run is in its life, and how it ended.

One writer at a time: the supervisor when a run is started by one, else the trainer, with the same fields. The file says
what its writer last knew; whether that is still so is told by the lock (`hydra.runs.observed_state`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from hydra.runs.identity import ProcessIdentity, boot_id, machine_id, process_identity
from hydra.runs.record import Record

LifeCycle = Literal[
    "starting", "running", "stopping", "backoff", "completed", "stopped", "failed", "oom", "killed", "lost"
]
LIVE: Final = frozenset({"starting", "running", "stopping", "backoff"})
TERMINAL: Final = frozenset(get_args(LifeCycle)) - LIVE


class ProcessStart(Record):
    """A process of the boot that the state names: its pid and its start (see `hydra.runs.identity`)."""

    pid: int
    start: int


class VerifiedCheckpoint(Record):
    """The newest checkpoint whose files were compared with their digests."""

    step: int
    quick: bool = False
    """Whether only sizes and the first and last blocks were compared, because there was no time for all bytes."""


class Culprit(Record):
    """Which rank failed first, and with what."""

    rank: int
    node: int = 0
    exception: str | None = None
    """Name of the exception's type; null if the rank died without one."""
    message: str = ""


class Exit(Record):
    """How a run ended."""

    code: int | None = None
    """Exit code of the trainer (README, exit codes); null if a signal ended it."""
    kind: str | None = None
    """What `code` cannot tell: `gpu` or `host` for `oom`, the name of the error for `failed`."""
    signal: int | None = None
    """Number of the signal that ended it, if one did."""
    culprit: Culprit | None = None
    retry: bool = False
    """Whether starting it again can help."""


class State(Record):
    """Everything about a run's life that survives its processes."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    run: str
    attempt: int
    """From 1; each resume adds one."""
    state: LifeCycle
    since: float
    """When `state` was entered, Unix seconds."""
    machine_id: str
    """`hydra.runs.machine_id` of the writer: locks and pids mean nothing elsewhere."""
    boot_id: str | None
    """Boot of that machine; null outside Linux."""
    supervisor: ProcessStart | None = None
    """Null when nobody supervises the run."""
    leader: ProcessStart | None = None
    """The trainer, or the launcher of several."""
    node_rank: int = 0
    node_count: int = 1
    gpus: tuple[str, ...] = ()
    """UUIDs of the devices used."""
    release: str | None = None
    """Id of the deployed code; null when run from a work tree."""
    environment: str | None = None
    """Id of the Python environment; null when it is nobody's in particular."""
    last_step: int | None = None
    log_offset: int | None = None
    """Logical byte offset reached in the log."""
    last_verified_checkpoint: VerifiedCheckpoint | None = None
    restarts_used: int = 0
    exit: Exit | None = None
    """Required in every terminal state but `lost`, which is what a run is called when nobody saw it end."""

    @model_validator(mode="after")
    def _ended_with_a_reason(self) -> Self:
        if self.state in TERMINAL - {"lost"} and self.exit is None:
            raise ValueError(f"state {self.state!r} needs 'exit'")
        return self

    @property
    def live(self) -> bool:
        """Whether the state claims that the run's processes live."""
        return self.state in LIVE


class StateFile:
    """`state.json` as the trainer of an unsupervised run keeps it.

    Take the run's lock first and free it last: then a live state with a free lock means that the trainer died.
    """

    def __init__(
        self, path: Path, run: str, attempt: int, clock: Callable[[], float] = time.time, **fields: Any
    ) -> None:
        """Write the state `starting`. `fields` are further fields of `State`, for example `gpus`."""
        leader = process_identity()
        assert leader is not None, "this process runs, so it has an identity"
        self._path, self._clock = path, clock
        self._state = State(
            run=run,
            attempt=attempt,
            state="starting",
            since=clock(),
            machine_id=machine_id(),
            boot_id=boot_id(),
            leader=_start_of(leader),
            **fields,
        )
        self._state.write(path)

    @property
    def state(self) -> State:
        """What the file holds."""
        return self._state

    def enter(self, state: LifeCycle, **fields: Any) -> None:
        """Go to another state, with fields that change at the same time. Nothing follows a terminal state."""
        self._replace(state=state, since=self._clock(), **fields)

    def note(self, **fields: Any) -> None:
        """Change fields and stay in the state: `last_step`, `last_verified_checkpoint`, ..."""
        self._replace(**fields)

    def _replace(self, **fields: Any) -> None:
        if not self._state.live:
            raise AssertionError(f"the run is {self._state.state}; nothing can follow: {fields}")
        held = {name: getattr(self._state, name) for name in State.model_fields}
        state = State(**{**held, **fields})
        state.write(self._path)
        self._state = state


def read_state(path: Path) -> State | None:
    """The state as written, or None if there is none yet. Raises RunError if the file holds anything else."""
    return State.read(path)


def _start_of(identity: ProcessIdentity) -> ProcessStart:
    return ProcessStart(pid=identity.pid, start=identity.start)
