"""The loop: steps, and what happens between them.

A boundary is the moment between two steps when all ranks agree and nothing is in flight. Evaluating, saving and
stopping happen there and nowhere else. Between boundaries the host only enqueues work.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from hydra.data import StepBatch
from hydra.inference import Score
from hydra.manifest import Manifest
from hydra.training.console import Console
from hydra.training.evaluation import Evaluator
from hydra.training.guards import spent
from hydra.training.journal import Journal
from hydra.training.readback import Readback, Result
from hydra.training.requests import Inbox
from hydra.training.saving import Saver
from hydra.training.state import TrainState
from hydra.training.step import Step
from hydra.training.telemetry import Context, Settled, Telemetry
from hydra.training.throughput import memory


@dataclass(frozen=True)
class Outcome:
    """How a run ended when it ended well."""

    completed: bool
    """All steps were done; otherwise somebody asked to stop."""
    step: int
    saved: int | None
    """Step of the newest complete checkpoint, None when there is none."""
    reason: str
    first: Score | None
    """Evaluation before the first step of this attempt."""
    last: Score | None
    """The newest evaluation."""
    samples: list[str]


@dataclass
class Parts:
    """Everything a loop is made of."""

    manifest: Manifest
    state: TrainState
    step: Step
    batches: Iterator[StepBatch]
    readback: Readback[Context]
    telemetry: Telemetry
    evaluator: Evaluator
    saver: Saver
    inbox: Inbox
    journal: Journal
    console: Console
    on_skip: Callable[[Settled], None]
    """Keeps the evidence of a skipped step and raises Diverged when there are too many."""
    base_lr: float
    """Peak rate of the first optimizer rule, which the metrics show."""
    compiles: bool
    device: torch.device


class Loop:
    """Runs a prepared training run to its end, or until it is asked to stop."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._state = parts, parts.state
        self._device = parts.device
        self._first: Score | None = None
        self._last: Score | None = None
        self._samples: list[str] = []

    def run(self) -> Outcome:
        """Train. Raises Diverged, SaveFailed, DataError, or what torch raises."""
        parts, state = self._parts, self._state
        total = parts.manifest.training.steps
        parts.console.begin(state.step)
        began = state.step
        if parts.inbox.stopped_early():
            return self._end(total, "request", trained=False)
        if state.step < total:
            numbers: dict[str, Any] = {}
            self._first = self._evaluate(numbers)
            parts.telemetry.evaluation(state.step, numbers)
        stop = ""
        parts.journal.phase("compile" if parts.compiles else "train")
        parts.readback.mark()
        warm = state.step + 1
        while state.step < total and not stop:
            parts.inbox.start()
            self._advance()
            if state.step == warm:
                self._settle_down()
            stop = self._boundary(state.step == total)
        return self._end(total, stop, trained=state.step > began)

    def _advance(self) -> None:
        """One step, enqueued; numbers of the step before are read while it runs."""
        parts, state = self._parts, self._state
        began = time.perf_counter()
        batch = next(parts.batches)
        waited = (time.perf_counter() - began) * 1e3
        assert batch.step == state.step, f"the loader is at step {batch.step}, the state at {state.step}"
        lr = parts.base_lr * parts.step.lr_factor(state.step)
        row = parts.step.run(batch)
        state.step += 1
        state.samples += parts.manifest.training.batch
        extra: dict[str, Any] = {**memory(self._device)}
        if state.stream is not None:
            last = state.step == parts.manifest.training.steps
            extra |= state.stream.fold(state.step, batch.samples, batch.tokens, last)
        parts.readback.push(row, Context(state.step, state.samples, lr, waited, extra))

    def _boundary(self, last: bool) -> str:
        """Settle what arrived, and do what the plan or a request wants at this step; returns why to stop, or ''."""
        parts, state = self._parts, self._state
        evaluation, checkpoint = parts.manifest.evaluation, parts.manifest.checkpoint
        asked = parts.inbox.result()
        # After the last step there is nothing left to stop: the run completes, its evaluation included.
        stop = "request" if asked.stop and not last else ""
        evaluate = last or asked.evaluate or _due(state.step, evaluation.every)
        sample = _due(state.step, evaluation.samples.every) and not last
        save = last or bool(stop) or asked.save or _due(state.step, checkpoint.every)
        if not (evaluate or sample or save):
            self._settle(parts.readback.take(in_flight=1), publish_last=True)
            parts.saver.poll()
            return stop
        held = self._settle(parts.readback.take(in_flight=0), publish_last=False)
        gc.collect()
        assert held is not None, "a boundary follows a step"
        score = self._evaluate(held) if evaluate and not stop else None
        parts.telemetry.publish(held)
        if sample and not stop:
            self._write_samples()
        if save:
            parts.saver.save(score.bits_per_byte if score else None)
        parts.journal.phase("train")
        parts.readback.mark()
        return stop

    def _settle(self, results: list[Result[Context]], *, publish_last: bool) -> dict[str, Any] | None:
        """Count and publish settled steps; the last one may be held back, so that an evaluation can join its row."""
        held: dict[str, Any] | None = None
        for index, result in enumerate(results):
            settled = self._parts.telemetry.settle(result)
            self._state.tokens += 0 if settled.skipped else settled.targets
            self._state.nonfinite.note(settled.context.step, settled.skipped)
            row = {**settled.row, "tokens": self._state.tokens}
            # A step that ends the run is the last that will ever be published, so its row cannot wait.
            ends = settled.skipped and spent(self._state.nonfinite, self._parts.manifest)
            if publish_last or index < len(results) - 1 or ends:
                self._parts.telemetry.publish(row)
            else:
                held = row
            if settled.skipped:
                self._parts.on_skip(settled)
        return held

    def _evaluate(self, row: dict[str, Any]) -> Score | None:
        """Score the held-out rows, if there are any, and add the numbers to the step's row."""
        parts, step = self._parts, self._state.step
        parts.journal.phase("eval")
        score = parts.evaluator.score()
        if score is None:
            return None
        numbers = {
            f"eval.{name}": value
            for name, value in (
                ("loss", score.loss),
                ("bits_per_byte", score.bits_per_byte),
                ("standard_error", score.standard_error),
            )
            if value is not None
        }
        row.update(numbers)
        parts.journal.event("eval.summary", step=step, data=numbers)
        shown = (
            f"{score.bits_per_byte:.4f} bits per byte" if score.bits_per_byte is not None else "no bytes in this data"
        )
        parts.console.say(f"step {step}: held-out loss {score.loss:.4f} nats per token, {shown}")
        self._last = score
        return score

    def _write_samples(self) -> None:
        self._samples = self._parts.evaluator.write_samples(self._state.step, self._parts.journal)

    def _settle_down(self) -> None:
        """After the first step: nothing allocated so far is garbage, so the collector need not look at it again."""
        gc.collect()
        gc.freeze()
        gc.disable()
        if self._parts.compiles:
            self._parts.journal.event("compile.done", step=self._state.step)
        self._parts.journal.phase("train")

    def _end(self, total: int, stop: str, *, trained: bool) -> Outcome:
        parts, state = self._parts, self._state
        parts.journal.phase("stop")
        completed = state.step >= total
        if not completed:
            parts.journal.stopping()
        elif trained:
            self._write_samples()
        saved = parts.saver.finish()
        gc.enable()
        gc.unfreeze()
        return Outcome(completed, state.step, saved, stop, self._first, self._last, self._samples)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
