"""The table of runs: one row each, cheap enough to be drawn every second over hundreds of runs.

A row reads the small state files and the end of `metrics.jsonl`; no file is read from its start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hydra.errors import RunError
from hydra.runs.following import last_lines, parse_object
from hydra.runs.identifier import RunId
from hydra.runs.layout import RunDirectory
from hydra.runs.observed import Observed, observed_state
from hydra.runs.progress import Phase, read_progress
from hydra.runs.search import run_paths, started_at
from hydra.runs.state import LIVE, LifeCycle

T = TypeVar("T")
_TAIL = 8


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a table. What a run has not told yet is None."""

    id: str
    name: str
    """The id without time and suffix."""
    path: Path
    state: LifeCycle | None
    """As observed: a run that claims to live and does not is `lost`."""
    reason: str
    """Why the state is not simply what was written, or which file could not be read; empty if there is nothing."""
    phase: Phase | None
    """What the trainer is doing; None when it does not live."""
    attempt: int | None
    step: int | None
    total_steps: int | None
    loss: float | None
    """Nats per target token of the last step written; may be NaN."""
    tokens_per_s: float | None
    """Of the last step written."""
    started: float
    """Unix seconds."""
    last_step_age: float | None
    """Seconds since the last step ended."""


def list_runs(root: Path) -> list[RunRow]:
    """The runs under a folder, newest first. A damaged run is a row with its reason and hides no other."""
    return [run_row(RunDirectory(path.resolve())) for path in run_paths(root)]


def run_row(run: RunDirectory) -> RunRow:
    """The row of one run."""
    problems: list[str] = []
    observed = _unless_unreadable(problems, lambda: observed_state(run)) or Observed(None, None, "")
    progress = _unless_unreadable(problems, lambda: read_progress(run.progress))
    last = _unless_unreadable(problems, lambda: _last_metrics(run.metrics)) or {}
    identifier = RunId.parse(run.id)
    step_time = last.get("time")
    if progress is not None and progress.last_step_time is not None:
        step_time = progress.last_step_time
    return RunRow(
        id=run.id,
        name=run.id if identifier is None else identifier.name,
        path=run.path,
        state=observed.state,
        reason="; ".join(problems) or observed.reason,
        phase=progress.phase if progress is not None and observed.state in LIVE else None,
        attempt=_whole(last.get("attempt")) if observed.written is None else observed.written.attempt,
        step=_whole(last.get("step")) if progress is None else progress.step,
        total_steps=None if progress is None else progress.total_steps,
        loss=_number(last.get("loss")),
        tokens_per_s=_number(last.get("tokens_per_s")),
        started=started_at(run.path),
        last_step_age=_age(_number(step_time)),
    )


def _unless_unreadable(problems: list[str], read: Callable[[], T]) -> T | None:
    """What a read gives, or None with the reason noted: somebody else's or a damaged run is a row like any other."""
    try:
        return read()
    except RunError as error:
        problems.append(error.what)
    except OSError as error:
        problems.append(str(error))
    return None


def _last_metrics(path: Path) -> dict[str, Any]:
    for line in reversed(last_lines(path, _TAIL)):
        row = parse_object(line)
        if row is not None and "step" in row:
            return row
    return {}


def _age(moment: float | None) -> float | None:
    return None if moment is None else max(0.0, time.time() - moment)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
