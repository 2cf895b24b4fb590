"""`metrics.jsonl`: one line for each optimizer step, and reading them back so that every step counts once.

A resumed run repeats the steps after its checkpoint, and a rollback does so within an attempt, so a step may have
several lines. The last word on a step is the line of the highest attempt, and within one attempt the last line.

Steps that were taken back but not repeated yet are **stale**: attempt 1 reached step 100, attempt 2 resumed at 50 and
stands at 60, so the lines for 61 to 100 describe weights that no longer exist. Readers that only follow the rule above
still see them; they are marked, so that a plot can draw them faint and a summary can leave them out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra.runs.closing import Closing
from hydra.runs.encoding import encode
from hydra.runs.fields import METRICS_SCHEMA, MetricRow, unknown_fields
from hydra.runs.following import JsonReader
from hydra.runs.lines import LineWriter


class MetricsWriter(Closing):
    """Appends one line a step; fsyncs at most every 10 s, since a lost line is repeated by the resumed run.

    Used by the global rank 0 alone. Raises RunWriteError when the disk refuses.
    """

    def __init__(self, path: Path, attempt: int, clock: Callable[[], float] = time.time) -> None:
        self._attempt, self._clock = attempt, clock
        self._lines = LineWriter(path)

    def append(self, row: Mapping[str, object]) -> None:
        """Add the line of one step: `step` and what was measured.

        Schema and attempt are added here, and `time` if the row has none.

        A name that `MetricRow` does not list, and that has no dot, is a mistake in the program.
        """
        unknown = unknown_fields(row)
        if unknown or not isinstance(row.get("step"), int):
            raise AssertionError(f"a metrics line needs an integer 'step' and known fields, not {unknown or row}")
        fixed = {"schema": METRICS_SCHEMA, "attempt": self._attempt}
        self._lines.append(encode({**fixed, "step": row["step"], "time": self._clock(), **row, **fixed}))

    def sync(self) -> None:
        """Put all lines on the disk, for example before a checkpoint is called complete."""
        self._lines.sync()

    def close(self) -> None:
        """Sync and close."""
        self._lines.close()


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of a run, one row a step in ascending order."""

    rows: tuple[MetricRow, ...]
    """Each step once: the line of the highest attempt."""
    stale: frozenset[int]
    """Steps among `rows` that a resume or a rollback took back and that were not repeated since."""
    skipped: int
    """Lines of the file that were no metrics line: fragments that a killed writer left."""

    @property
    def current(self) -> tuple[MetricRow, ...]:
        """The rows of the history that the present weights have, stale ones left out."""
        return tuple(row for row in self.rows if row["step"] not in self.stale)

    def __iter__(self) -> Iterator[MetricRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def read_metrics(path: Path, *, attempt: int | None = None, resumed: Mapping[int, int] | None = None) -> Metrics:
    """Read a metrics file that may be growing; one that does not exist yet has no rows.

    `attempt` keeps only the lines of one attempt, for drawing attempts as separate series. `resumed` tells at which
    step each attempt continued (`hydra.runs.resume_steps`); an attempt that has written a line tells it by itself, so
    this only matters between a resume and its first step.
    """
    reader = JsonReader(path)
    candidates = reader.drain()
    rows = [cast(MetricRow, row) for row in candidates if _is_row(row)]
    skipped = reader.skipped + len(candidates) - len(rows)
    if attempt is not None:
        rows = [row for row in rows if row["attempt"] == attempt]
    rows.sort(key=lambda row: row["attempt"])
    last = {row["step"]: number for number, row in enumerate(rows)}
    back = _taken_back(rows, resumed or {})
    return Metrics(
        rows=tuple(rows[last[step]] for step in sorted(last)),
        stale=frozenset(step for step, number in last.items() if back[number]),
        skipped=skipped,
    )


def _taken_back(rows: Sequence[MetricRow], resumed: Mapping[int, int]) -> list[bool]:
    """For each row, in order of writing: whether a later row or resume went back to its step or before it."""
    back = [False] * len(rows)
    floor: float = math.inf
    resumes = sorted(resumed.items())
    for number in range(len(rows) - 1, -1, -1):
        row = rows[number]
        while resumes and resumes[-1][0] > row["attempt"]:
            floor = min(floor, resumes.pop()[1] + 1)
        back[number] = row["step"] >= floor
        floor = min(floor, row["step"])
    return back


def _is_row(row: dict[str, Any]) -> bool:
    return isinstance(row.get("step"), int) and isinstance(row.get("attempt"), int)
