"""The run directory's writers as one thing: metrics, events, samples, state, heartbeat and log of a live run.

Rank 0 keeps the journal; the other ranks have a silent one of the same form, so that the loop reads the same on all.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from hydra.runs import (
    Event,
    EventKind,
    EventWriter,
    Exit,
    Heartbeat,
    Level,
    LifeCycle,
    MetricsWriter,
    Phase,
    RunDirectory,
    RunLogHandler,
    SampleWriter,
    StateFile,
    VerifiedCheckpoint,
)

log = logging.getLogger("hydra.training")


class Journal(Protocol):
    """What the loop tells of itself."""

    def event(
        self, kind: EventKind, *, level: Level = "info", step: int | None = None, data: Mapping[str, Any] | None = None
    ) -> Event | None:
        """Something happened."""

    def metrics(self, row: Mapping[str, Any]) -> None:
        """A step's numbers."""

    def sample(self, row: Mapping[str, Any]) -> None:
        """A text that the model wrote."""

    def phase(self, phase: Phase) -> None:
        """The run now does something else."""

    def step_done(self, step: int, tokens: int, milliseconds: float) -> None:
        """A step ended."""

    def running(self) -> None:
        """Preparation is over."""

    def stopping(self) -> None:
        """A request to stop is being carried out."""

    def resumed(self, step: int, tokens: int) -> None:
        """The run goes on from a checkpoint, with so many tokens trained."""

    def saved(self, step: int) -> None:
        """A checkpoint is complete and verified."""

    def sync(self) -> None:
        """Put all lines on the disk."""

    def end(self, state: LifeCycle, final: EventKind, step: int | None, data: Mapping[str, Any], exit: Exit) -> None:
        """The final record; nothing follows it."""

    def close(self) -> None:
        """Close all files."""


class LeadJournal:
    """The journal of rank 0."""

    def __init__(self, run: RunDirectory, attempt: int, total_steps: int, *, supervised: bool) -> None:
        self._events = EventWriter(run.events, attempt)
        self._metrics = MetricsWriter(run.metrics, attempt)
        self._samples = SampleWriter(run.samples, attempt)
        #: Under a supervisor, the supervisor alone writes the state.
        self._state = None if supervised else StateFile(run.state, run.id, attempt)
        self._heartbeat = Heartbeat(run.progress, attempt=attempt, total_steps=total_steps).start()
        self._step: int | None = None
        """The newest step that was told; a run that fails ends there."""
        self._log = RunLogHandler(run.train_log)
        logging.getLogger("hydra").addHandler(self._log)
        logging.getLogger("hydra").setLevel(logging.INFO)

    def event(
        self, kind: EventKind, *, level: Level = "info", step: int | None = None, data: Mapping[str, Any] | None = None
    ) -> Event | None:
        """Append to events.jsonl and the log."""
        log.log({"info": 20, "warning": 30, "error": 40}[level], "%s step=%s %s", kind, step, dict(data or {}))
        return self._events.append(kind, level=level, step=step, data=data)

    def metrics(self, row: Mapping[str, Any]) -> None:
        """Append to metrics.jsonl."""
        self._metrics.append(row)

    def sample(self, row: Mapping[str, Any]) -> None:
        """Append to samples.jsonl."""
        self._samples.append(row)

    def phase(self, phase: Phase) -> None:
        """Show the phase in progress.json."""
        self._heartbeat.enter(phase)

    def step_done(self, step: int, tokens: int, milliseconds: float) -> None:
        """Show the step in progress.json."""
        self._step = step
        self._heartbeat.step_done(step, tokens, milliseconds)

    def running(self) -> None:
        """state.json: running."""
        if self._state is not None:
            self._state.enter("running")

    def stopping(self) -> None:
        """state.json: stopping."""
        if self._state is not None:
            self._state.enter("stopping")

    def resumed(self, step: int, tokens: int) -> None:
        """Show the checkpoint in progress.json and state.json, which would otherwise stand at 0 until the next one."""
        self._step = step
        self._heartbeat.resumed(step, tokens)
        self._note_checkpoint(step)

    def saved(self, step: int) -> None:
        """Show the checkpoint in progress.json and state.json."""
        self._heartbeat.saved(step)
        self._note_checkpoint(step)

    def _note_checkpoint(self, step: int) -> None:
        if self._state is not None:
            self._state.note(last_verified_checkpoint=VerifiedCheckpoint(step=step), last_step=step)

    def sync(self) -> None:
        """fsync the metrics; other files are as durable as they need to be already."""
        self._metrics.sync()

    def end(self, state: LifeCycle, final: EventKind, step: int | None, data: Mapping[str, Any], exit: Exit) -> None:
        """Write the final event, then the terminal state."""
        self._metrics.sync()
        step = self._step if step is None else step
        self.event(final, level="error" if final == "run.failed" else "info", step=step, data=data)
        if self._state is not None:
            self._state.enter(state, exit=exit, last_step=step)

    def close(self) -> None:
        """Close every file and stop the heartbeat."""
        self._heartbeat.close()
        for writer in (self._events, self._metrics, self._samples):
            writer.close()
        logging.getLogger("hydra").removeHandler(self._log)
        self._log.close()


class RankJournal:
    """The journal of every other rank: only a log of its own."""

    def __init__(self, run: RunDirectory, rank: int) -> None:
        self._log = RunLogHandler(run.rank_log(rank))
        logging.getLogger("hydra").addHandler(self._log)
        logging.getLogger("hydra").setLevel(logging.INFO)

    def event(
        self, kind: EventKind, *, level: Level = "info", step: int | None = None, data: Mapping[str, Any] | None = None
    ) -> Event | None:
        """Into this rank's log alone."""
        log.info("%s step=%s %s", kind, step, dict(data or {}))
        return None

    def metrics(self, row: Mapping[str, Any]) -> None:
        """Rank 0 has the same numbers."""

    def sample(self, row: Mapping[str, Any]) -> None:
        """Rank 0 writes samples."""

    def phase(self, phase: Phase) -> None:
        """Rank 0 shows the phase."""

    def step_done(self, step: int, tokens: int, milliseconds: float) -> None:
        """Rank 0 shows the step."""

    def running(self) -> None:
        """Rank 0 keeps the state."""

    def stopping(self) -> None:
        """Rank 0 keeps the state."""

    def resumed(self, step: int, tokens: int) -> None:
        """Rank 0 keeps the state."""

    def saved(self, step: int) -> None:
        """Rank 0 keeps the state."""

    def sync(self) -> None:
        """Nothing of this rank's must survive a power loss."""

    def end(self, state: LifeCycle, final: EventKind, step: int | None, data: Mapping[str, Any], exit: Exit) -> None:
        """Into this rank's log alone."""
        log.info("%s step=%s %s", final, step, dict(data))

    def close(self) -> None:
        """Close the log."""
        logging.getLogger("hydra").removeHandler(self._log)
        self._log.close()
