"""What a person sees while a run trains: a progress bar on a terminal, plain lines elsewhere.

Nothing else of a run writes to standard output, so a log of it is exactly these lines. It is a convenience: a reader
that goes away, or a log that finds no room, ends nothing.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

log = logging.getLogger("hydra.training")

_SMOOTHING = 0.9


class _Output(RichConsole):
    """Standard output whose closed pipe is an error like any other; rich would end the process with exit code 1."""

    def on_broken_pipe(self) -> None:
        """Called by rich while it handles the error."""
        raise BrokenPipeError("nobody reads it any more")


class Console:
    """Shows steps as they arrive; loss is smoothed for reading (the metrics hold it as it is)."""

    def __init__(self, total: int, every: int, *, quiet: bool = False, rich: RichConsole | None = None) -> None:
        self._rich = rich or _Output(highlight=False, soft_wrap=True)
        self._total, self._every, self._quiet = total, every, quiet
        self._smooth: float | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        """One line of its own, above the bar where there is one."""
        if not self._quiet:
            encoding = getattr(self._rich.file, "encoding", None) or "utf-8"
            shown = text.encode(encoding, "backslashreplace").decode(encoding)
            self._survive(lambda: self._rich.print(shown, markup=False))

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
        self._survive(self._progress.start)

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
            self._survive(self._progress.stop)
            self._progress = None

    def _survive(self, write: Callable[[], object]) -> None:
        """Write; if that is impossible, say so in the log and be silent from now on."""
        try:
            write()
        except OSError as error:
            self._quiet = self._rich.quiet = True
            # What is still buffered needs a place, or the interpreter's last flush would change the exit code.
            with contextlib.suppress(io.UnsupportedOperation), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._rich.file.fileno())
            log.warning("standard output is lost (%s); training goes on without it", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
