"""What a follower gives: lines, and everything that can happen to the following of them. Each is a type of its own,
because a dropped link, an ended run and a vanished file ask for three different reactions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fleet.remote.frames import Frame


@dataclass(frozen=True, slots=True)
class Line:
    """A frame of the log, and the position to follow on from when it has been dealt with."""

    frame: Frame
    cursor: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of `events.jsonl` or `metrics.jsonl`, without its newline, and the position behind it."""

    data: bytes
    cursor: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Proof that frames are missing or came twice: an error of the log itself, shown and not repaired."""

    expected: int
    """The `seq` that had to come."""
    found: int
    cursor: int


@dataclass(frozen=True, slots=True)
class Torn:
    """Bytes that are no frame: what a killed supervisor left of its last one, or a foreign write. They are passed over;
    whether a frame is missing is told by the `seq` of the next one.
    """

    data: bytes
    cursor: int


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The link was lost; following goes on behind the last whole frame after `delay` seconds."""

    reason: str
    delay: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The run ended and everything that it wrote was given."""

    state: str
    """A terminal state of a run: `completed`, `stopped`, `failed`, `oom` or `killed`."""
    exit: dict[str, Any] | None = field(default=None)
    """How, as `state.json` has it."""


@dataclass(frozen=True, slots=True)
class Vanished:
    """The log, or the whole run, is not there any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class LostRun:
    """The run is over without a word about its end: its supervisor was killed or the host rebooted."""

    reason: str


Record = Line | Row | Gap | Torn | Reconnecting | Ended | Vanished | LostRun


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run is in its life, asked of its host."""

    state: str
    exit: dict[str, Any] | None = None
    reason: str = ""
    """Why it is lost, in words, if it is."""
