"""What a run's own files say of its progress: step, loss, and how far it had come when it ended."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from fleet.remote.atomic import read_json
from fleet.remote.events import backwards, final_record
from fleet.remote.places import RunFiles

#: Lines of metrics.jsonl that are looked at for one that is whole.
_TAIL = 8


class Figures(NamedTuple):
    """The newest numbers of a run; what it has not told is None."""

    step: int | None
    total_steps: int | None
    loss: Any
    """A number, or one of the words `NaN`, `Infinity`, `-Infinity`."""
    phase: str | None
    step_age: float | None
    """Seconds since the last step ended."""


def figures(files: RunFiles) -> Figures:
    """Read the heartbeat and the end of the metrics."""
    progress = read_json(files.file("progress.json")) or {}
    row = _last_row(files)
    step = _whole(progress.get("step"))
    phase = progress.get("phase")
    moment = progress.get("last_step_time") or row.get("time")
    return Figures(
        step=_whole(row.get("step")) if step is None else step,
        total_steps=_whole(progress.get("total_steps")),
        loss=row.get("loss"),
        phase=phase if isinstance(phase, str) else None,
        step_age=max(0.0, time.time() - moment) if isinstance(moment, (int, float)) else None,
    )


def last_step(files: RunFiles, attempt: int) -> int | None:
    """The highest step that an attempt is known to have reached, from its heartbeat, metrics and final record."""
    final = final_record(files.events, attempt) or {}
    progress = read_json(files.file("progress.json")) or {}
    row = _last_row(files)
    told = [final.get("step")]
    told += [source.get("step") for source in (progress, row) if source.get("attempt") == attempt]
    known = [step for step in map(_whole, told) if step is not None]
    return max(known) if known else None


def _last_row(files: RunFiles) -> dict[str, Any]:
    for count, row in enumerate(backwards(files.file("metrics.jsonl"))):
        if "step" in row:
            return row
        if count >= _TAIL:
            break
    return {}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
