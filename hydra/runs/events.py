"""`events.jsonl`: what happened to a run, numbered without gaps or repeats across all its attempts.

Written by the trainer, and by a supervisor only while no trainer lives. The last event of a trainer is its **final
record**: `run.completed`, `run.stopped` (with the saved step) or `run.failed` (exit code, exception, rank, retry). A
trainer that died without one was killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import Field, ValidationError

from hydra.runs.closing import Closing
from hydra.runs.encoding import encode
from hydra.runs.following import JsonReader, last_lines, parse_object
from hydra.runs.lines import LineWriter
from hydra.runs.record import Record

EventKind = Literal[
    "run.started", "run.resumed", "run.restarted", "run.completed", "run.stopped", "run.failed", "run.lost",
    "checkpoint.started", "checkpoint.saved", "checkpoint.rejected", "checkpoint.failed", "checkpoint.deleted",
    "eval.summary",
    "samples.generated",
    "guard.nonfinite", "guard.spike", "guard.rollback", "guard.oom", "guard.straggler", "guard.timeout",
    "compile.done", "compile.recompiled",
    "kernel.selected",
    "data.built", "data.changed",
    "stage.entered",
    "signal.received",
    "profile.saved",
]  # fmt: skip
Level = Literal["info", "warning", "error"]

EVENT_KINDS: Final[frozenset[str]] = frozenset(get_args(EventKind))
FINAL_KINDS: Final = frozenset({"run.completed", "run.stopped", "run.failed"})
_SYNCED = ("run.", "checkpoint.")
_TAIL = 64


class Event(Record):
    """One event. Reading takes any kind, since a later version may know more; writing takes `EVENT_KINDS` only."""

    seq: int
    """Number of the event in its run, from 1, strictly increasing over attempts. A gap is an event that was lost."""
    time: float
    """Unix seconds."""
    attempt: int
    step: int | None
    """Optimizer steps completed when it happened; null before there are any."""
    kind: str
    level: Level
    rank: int
    data: dict[str, Any] = Field(default_factory=dict)
    """What the kind tells: `{"step": 1200}` of a `checkpoint.saved`, for example."""


class EventWriter(Closing):
    """Appends numbered events. `run.*` and `checkpoint.*` are on the disk when `append` returns.

    Raises RunWriteError when the disk refuses. The number of an event that could not be written is not used again, so
    that a fragment of it can never be taken for another one.
    """

    def __init__(self, path: Path, attempt: int, rank: int = 0, clock: Callable[[], float] = time.time) -> None:
        self._attempt, self._rank, self._clock = attempt, rank, clock
        self._lines = LineWriter(path)
        self._seq = last_seq(path)
        self._final: str | None = None

    def append(
        self,
        kind: EventKind,
        *,
        level: Level = "info",
        step: int | None = None,
        data: Mapping[str, object] | None = None,
    ) -> Event:
        """Add one event and return it. Nothing can follow a final record."""
        if kind not in EVENT_KINDS:
            raise AssertionError(f"unknown kind of event {kind!r}")
        if self._final is not None:
            raise AssertionError(f"{kind} after the final record {self._final}")
        self._seq += 1
        event = Event(
            seq=self._seq,
            time=self._clock(),
            attempt=self._attempt,
            step=step,
            kind=kind,
            level=level,
            rank=self._rank,
            data=dict(data or {}),
        )
        self._lines.append(encode(dict(event)), sync=kind.startswith(_SYNCED))
        self._final = kind if kind in FINAL_KINDS else None
        return event

    def close(self) -> None:
        """Sync and close."""
        self._lines.close()


@dataclass(frozen=True, slots=True)
class EventLog:
    """The events of a run in order of writing, and how many lines of the file were none."""

    events: tuple[Event, ...]
    skipped: int


def read_events(path: Path) -> EventLog:
    """Read an events file that may be growing; one that does not exist yet has no events."""
    reader = JsonReader(path)
    rows = reader.drain()
    events = tuple(event for event in map(as_event, rows) if event is not None)
    return EventLog(events, reader.skipped + len(rows) - len(events))


def as_event(row: Mapping[str, object]) -> Event | None:
    """The event in one JSON object, or None if it is not one."""
    try:
        return Event.model_validate(row)
    except ValidationError:
        return None


def final_record(events: Sequence[Event]) -> Event | None:
    """The event that ended the last attempt, or None if it did not end, or ended without a word."""
    return events[-1] if events and events[-1].kind in FINAL_KINDS else None


def resume_steps(events: Sequence[Event]) -> dict[int, int]:
    """Attempt -> step it continued from, for `read_metrics`: from `run.resumed` (`data.step`) and fresh starts (0)."""
    steps: dict[int, int] = {}
    for event in events:
        if event.kind == "run.started":
            steps[event.attempt] = 0
        elif event.kind == "run.resumed" and isinstance(event.data.get("step"), int):
            steps[event.attempt] = event.data["step"]
    return steps


def last_resume(events: Sequence[Event]) -> tuple[int, int] | None:
    """The newest attempt that got as far as its state, and the step that it continued from; None if none did."""
    return max(resume_steps(events).items(), default=None)


def last_seq(path: Path) -> int:
    """The highest event number in a file, 0 if it has none. Fragments at its end are passed over."""
    count = _TAIL
    while True:
        lines = last_lines(path, count)
        rows = [row for row in map(parse_object, lines) if row is not None]
        numbers = [row["seq"] for row in rows if isinstance(row.get("seq"), int)]
        if numbers or len(lines) < count:
            return max(numbers, default=0)
        count *= 8
