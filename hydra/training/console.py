"""What a person sees while a run trains: a progress bar on a terminal, plain lines elsewhere.

Nothing else of a run writes to standard output, so a log of it is exactly these lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_SMOOTHING = 0.9


class Console:
    """Shows steps as they arrive; loss is smoothed for reading (the metrics hold it as it is)."""

    def __init__(self, total: int, every: int, *, quiet: bool = False, rich: RichConsole | None = None) -> None:
        self._rich = rich or RichConsole(highlight=False, soft_wrap=True)
        self._total, self._every, self._quiet = total, every, quiet
        self._smooth: float | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        """One line of its own, above the bar where there is one."""
        if not self._quiet:
            (self._progress.console if self._progress else self._rich).print(text, markup=False)

    def begin(self, step: int) -> None:
        """Training starts at a step."""
        if self._quiet or not self._rich.is_terminal:
            return
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=self._rich,
        )
        self._task = self._progress.add_task("step", total=self._total, completed=step, status="")
        self._progress.start()

    def show(self, row: Mapping[str, Any]) -> None:
        """One metrics row."""
        loss = float(row["loss"])
        if math.isfinite(loss):
            self._smooth = loss if self._smooth is None else _SMOOTHING * self._smooth + (1 - _SMOOTHING) * loss
        step = int(row["step"])
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=step, status=self._status(row))
        elif step % self._every == 0 or step == self._total or step == 1:
            left = (self._total - step) * float(row["step_ms"]) / 1e3
            self.say(f"step {step}/{self._total}  {self._status(row)}  left {left:.0f} s")

    def _status(self, row: Mapping[str, Any]) -> str:
        shown = float("nan") if self._smooth is None else self._smooth
        parts = [f"loss {shown:.3f}", f"lr {row['lr']:.2e}", f"{row['tokens_per_s']:,.0f} tok/s"]
        if "mfu_full" in row:
            parts.append(f"MFU {row['mfu_full']:.1%}/{row['mfu_causal']:.1%}")
        if "memory_bytes" in row:
            parts.append(f"{row['memory_bytes'] / 2**30:.1f} GiB")
        if row["skipped"]:
            parts.append("SKIPPED")
        return "  ".join(parts)

    def close(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
