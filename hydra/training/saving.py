"""Checkpoints as the loop sees them: started at a boundary, noted when complete, never a reason to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.errors import SaveFailed
from hydra.training.checkpoint import CheckpointStore, Saved, SaveFailure
from hydra.training.console import Console
from hydra.training.journal import Journal
from hydra.training.state import TrainState


class Saver:
    """Saves the state on rank 0; the other ranks have none, since replicas are equal."""

    def __init__(
        self,
        store: CheckpointStore | None,
        state: TrainState,
        journal: Journal,
        console: Console,
        facts: dict[str, Any],
        tokenizer: Path,
    ) -> None:
        self._store, self._state, self._journal, self._console = store, state, journal, console
        self._facts, self._tokenizer = facts, tokenizer
        self.newest: int | None = state.step or None
        """Step of the newest complete checkpoint; at first the one that was resumed from, if any."""
        self._started: int | None = None
        self._failure: SaveFailure | None = None

    def save(self, metric: float | None) -> None:
        """Start saving the present state; returns as soon as training may change it. `metric`: bits per byte here."""
        if self._started == self._state.step:
            return
        self._started = self._state.step
        if self._store is None:
            return
        self._journal.phase("save")
        self._journal.sync()
        self._journal.event("checkpoint.started", step=self._state.step)
        record = {**self._facts, "state": self._state.record()}
        self._store.save(self._state.step, self._state.tensors(), record, tokenizer=self._tokenizer, metric=metric)
        self.poll()

    def poll(self) -> None:
        """Note the checkpoints that were completed, or failed, since the last call."""
        if self._store is not None:
            self._note(self._store.finished())

    def finish(self) -> int | None:
        """Wait for what is being written; returns the step that is safe. Raises SaveFailed if this one could not be."""
        if self._store is not None:
            self._note(self._store.wait())
        if self._failure is not None and self._failure.step == self._state.step:
            safe = f"the newest complete one is step {self.newest}" if self.newest else "there is no complete one"
            lost = self._failure.step - (self.newest or 0)
            raise SaveFailed(
                f"the run ended, and its checkpoint at step {self._failure.step} could not be written: "
                f"{self._failure.reason}",
                why=f"{safe}, so {lost} steps are lost",
                fix="make room or repair the disk, then resume; the lost steps are trained again",
                example="python trainer.py --resume latest",
            )
        return self.newest

    def _note(self, results: list[Saved | SaveFailure]) -> None:
        for result in results:
            if isinstance(result, Saved):
                self.newest = result.step
                facts: dict[str, Any] = {
                    "step": result.step,
                    "seconds": round(result.seconds, 3),
                    "stall": round(result.stall, 3),
                    "bytes": result.bytes,
                }
                if result.complaint is not None:
                    facts["complaint"] = result.complaint
                self._journal.event("checkpoint.saved", step=result.step, data=facts)
                self._journal.saved(result.step)
                for step in result.removed:
                    self._journal.event("checkpoint.deleted", step=result.step, data={"step": step})
            else:
                self._failure = result
                facts = {"step": result.step, "reason": result.reason}
                self._journal.event("checkpoint.failed", level="error", step=result.step, data=facts)
                self._console.say(f"checkpoint at step {result.step} FAILED: {result.reason}; training goes on")
