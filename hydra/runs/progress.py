"""`progress.json`: the heartbeat of a trainer, written every second by a thread, so also while a step hangs."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from hydra.runs.closing import Closing
from hydra.runs.failures import RunWriteError
from hydra.runs.record import Record

Phase = Literal["start", "compile", "train", "eval", "save", "stop"]

#: Seconds between beats.
INTERVAL = 1.0
#: Seconds for which a beat may fail to reach the disk before training is told.
PATIENCE = 60.0
_MEDIAN_OVER = 101


class Progress(Record):
    """One beat. Ages are to be taken from the file's modification time on the machine that wrote it."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    attempt: int
    phase: Phase
    phase_since: float
    """When the phase was entered, Unix seconds."""
    step: int
    """Optimizer steps completed."""
    total_steps: int
    tokens: int
    """Target tokens trained."""
    time: float
    """When this beat was written, Unix seconds."""
    last_step_time: float | None
    """When the last step ended, Unix seconds; null before the first of this attempt."""
    median_step_ms: float | None
    """Median over the last 101 steps of this attempt, milliseconds; null before the first."""
    last_saved_step: int | None
    """Step of the newest complete checkpoint; null if there is none."""


@dataclass
class _Position:
    """What the training thread tells the heartbeat."""

    phase: Phase
    phase_since: float
    step: int
    tokens: int
    saved: int | None
    step_time: float | None = None
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=_MEDIAN_OVER))


class Heartbeat(Closing):
    """Writes `progress.json` every second and at each change of phase, from `start` to `close`.

    The training thread only sets numbers in memory; the thread writes them, so a hanging step shows as a step that
    does not advance under a heart that beats, and a dead process as a heart that stopped. (A C extension that never
    gives the interpreter lock back stops the heart too.)

    Beats are atomic but not fsynced: an fsync a second would compete with checkpoints for the disk, and after a power
    loss nobody asks how a dead process was doing. A full disk is often a passing one (a checkpoint is being written),
    so a failed beat is tried again; when none succeeded for 60 s, the next call from the training thread raises it.
    """

    def __init__(
        self,
        path: Path,
        *,
        attempt: int,
        total_steps: int,
        step: int = 0,
        tokens: int = 0,
        saved_step: int | None = None,
        interval: float = INTERVAL,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._attempt, self._total_steps = path, attempt, total_steps
        self._interval, self._patience, self._clock = interval, patience, clock
        self._position = _Position("start", clock(), step, tokens, saved_step)
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._written_at = time.monotonic()
        self._failure: RunWriteError | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> Self:
        """Write the first beat and start the thread."""
        self._beat()
        self._thread.start()
        return self

    def enter(self, phase: Phase) -> None:
        """Change the phase and write it at once, so that what hangs in its first instant hangs under its own name."""
        self._raise_if_failing()
        with self._guard:
            self._position.phase, self._position.phase_since = phase, self._clock()
        self._beat()

    def step_done(self, step: int, tokens: int, step_ms: float) -> None:
        """Tell the step just completed, tokens trained so far and what the step took. Touches no disk."""
        self._raise_if_failing()
        with self._guard:
            position = self._position
            position.step, position.tokens, position.step_time = step, tokens, self._clock()
            position.durations.append(step_ms)

    def resumed(self, step: int, tokens: int) -> None:
        """Tell the checkpoint at which an earlier attempt is continued."""
        with self._guard:
            self._position.step, self._position.tokens, self._position.saved = step, tokens, step

    def saved(self, step: int) -> None:
        """Tell that the checkpoint of a step is complete."""
        with self._guard:
            self._position.saved = step

    def close(self) -> None:
        """Write a last beat in phase `stop` and end the thread. A second call does nothing."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._guard:
            self._position.phase, self._position.phase_since = "stop", self._clock()
        self._beat()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            self._beat()

    def _beat(self) -> None:
        # One at a time, so that of two beats the later one stays; and not under the guard, so that a disk that takes
        # its time never makes the training thread wait in `step_done`.
        with self._writing:
            try:
                self._snapshot().write(self._path, durable=False)
            except RunWriteError as error:
                self._failure = error
            else:
                self._failure, self._written_at = None, time.monotonic()

    def _snapshot(self) -> Progress:
        with self._guard:
            position = self._position
            return Progress(
                attempt=self._attempt,
                phase=position.phase,
                phase_since=position.phase_since,
                step=position.step,
                total_steps=self._total_steps,
                tokens=position.tokens,
                time=self._clock(),
                last_step_time=position.step_time,
                median_step_ms=statistics.median(position.durations) if position.durations else None,
                last_saved_step=position.saved,
            )

    def _raise_if_failing(self) -> None:
        failure = self._failure
        if failure is not None and time.monotonic() - self._written_at > self._patience:
            raise failure


def read_progress(path: Path) -> Progress | None:
    """The last beat, or None if there was none. Raises RunError if the file holds anything else."""
    return Progress.read(path)
