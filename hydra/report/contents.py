"""Everything that a report is made of, read from a run directory at one moment."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from hydra.report.series import column, smoothed, span_of
from hydra.runs import (
    Event,
    MetricRow,
    Metrics,
    Observed,
    Progress,
    RunDirectory,
    SampleRow,
    observed_state,
    read_events,
    read_json,
    read_metrics,
    read_progress,
    read_samples,
    read_yaml,
    resume_steps,
)

_COMPLETE = "COMPLETE.json"
_PREFIX = "step-"
#: Steps over which the throughput in the header is taken.
RECENT = 100


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """A checkpoint as its folder shows it; nothing is compared with digests here."""

    step: int
    complete: bool
    """Whether `COMPLETE.json`, which is written last, is there."""
    size: int
    """Bytes of all files."""
    pointers: tuple[str, ...]
    """Which of `latest` and `best` name it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A run, read. A file that is not there yet is empty here; one that is damaged raised RunError."""

    name: str
    read_at: float
    observed: Observed
    progress: Progress | None
    manifest: Mapping[str, Any]
    environment: Mapping[str, Any]
    metrics: Metrics
    events: tuple[Event, ...]
    samples: tuple[SampleRow, ...]
    checkpoints: tuple[CheckpointFiles, ...]

    @property
    def rows(self) -> tuple[MetricRow, ...]:
        """The metrics of the history that the present weights have, the evaluation before the first step included.

        That one belongs to no step, so the trainer tells it in an event.
        """
        rows = self.metrics.current
        begin = rows[0]["step"] if rows else math.inf
        told: dict[int, MetricRow] = {}
        for event in self.events:
            if event.kind == "eval.summary" and event.step is not None and event.step < begin:
                place = {"attempt": event.attempt, "step": event.step, "time": event.time}
                told[event.step] = cast(MetricRow, {**event.data, **place})
        return (*(told[step] for step in sorted(told)), *rows)

    @property
    def resumed(self) -> dict[int, int]:
        """Attempt -> step at which it continued."""
        return resume_steps(self.events)


def read(run: RunDirectory) -> Contents:
    """Read all of a run's files. Raises RunError if one of them is damaged."""
    events = read_events(run.events).events
    return Contents(
        name=run.id,
        read_at=time.time(),
        observed=observed_state(run),
        progress=read_progress(run.progress),
        manifest=_mapping(read_yaml(run.manifest)) if run.manifest.exists() else {},
        environment=_mapping(read_json(run.environment)) if run.environment.exists() else {},
        metrics=read_metrics(run.metrics, resumed=resume_steps(events)),
        events=events,
        samples=tuple(read_samples(run.samples)),
        checkpoints=_checkpoints(run.checkpoints),
    )


def dig(data: object, *path: str) -> Any:
    """A value inside nested mappings, None where a part of the path is absent."""
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def elapsed(contents: Contents) -> float:
    """Seconds that the run's attempts lived, from the first to the last trace of each; pauses between do not count."""
    moments: dict[int, list[float]] = {}
    for event in contents.events:
        moments.setdefault(event.attempt, []).append(event.time)
    for row in contents.metrics:
        if "time" in row:
            moments.setdefault(row["attempt"], []).append(row["time"])
    return sum(max(times) - min(times) for times in moments.values())


def last_loss(contents: Contents) -> tuple[float, int] | None:
    """The smoothed training loss at the last step, and the steps it is smoothed over."""
    series = column(contents.rows, "loss")
    if not len(series.finite):
        return None
    span = span_of(len(series))
    values = smoothed(series, span).finite
    return float(values[-1]), span


def recent_rate(contents: Contents) -> tuple[float, int] | None:
    """Median tokens per second of the last 100 steps, and how many there were."""
    values = column(contents.metrics.current[-RECENT:], "tokens_per_s").finite
    return (float(np.median(values)), len(values)) if len(values) else None


def _checkpoints(folder: Path) -> tuple[CheckpointFiles, ...]:
    if not folder.is_dir():
        return ()
    named = {pointer: _pointed(folder / pointer) for pointer in ("latest", "best")}
    found = []
    for path in folder.iterdir():
        step = path.name.removeprefix(_PREFIX)
        if path.is_dir() and path.name.startswith(_PREFIX) and step.isdigit():
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            pointers = tuple(pointer for pointer, name in named.items() if name == path.name)
            found.append(CheckpointFiles(int(step), (path / _COMPLETE).is_file(), size, pointers))
    return tuple(sorted(found, key=lambda checkpoint: checkpoint.step))


def _pointed(path: Path) -> str:
    return path.read_text("utf-8").strip() if path.is_file() else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
