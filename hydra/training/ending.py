"""How a run ends: the final record, whatever happened, and the closing lines for whoever watched."""

from __future__ import annotations

import shlex
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist

from hydra.errors import DeviceMemoryError, HydraError, PeerLost
from hydra.runs import Culprit, Exit, RunDirectory, RunWriteError, read_metrics, write_json
from hydra.training.console import Console
from hydra.training.journal import Journal
from hydra.training.loop import Outcome
from hydra.training.session import Session

#: Exit code of a run that was interrupted twice and aborted at once.
INTERRUPTED = 130


class Ending:
    """Around a training run: an error that leaves it is written down as the final record, then goes on its way."""

    def __init__(self, run: RunDirectory, journal: Journal, rank: int, console: Console) -> None:
        self._run, self._journal, self._rank, self._console = run, journal, rank, console
        self.code = 0
        """Exit code of a run whose ending is not an error to be shown."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if isinstance(error, KeyboardInterrupt):
            self._interrupted()
            return True
        failure = as_hydra_error(error)
        try:
            self._failed(failure)
        except RunWriteError as full:
            # The disk that ended the run cannot take its record either; what happened still has to be said.
            self._console.say(f"the final record could not be written: {full.what}")
        if failure is not error:
            raise failure from error
        return False

    def _interrupted(self) -> None:
        self.code = INTERRUPTED
        facts = {"code": INTERRUPTED, "exception": "KeyboardInterrupt", "rank": self._rank, "retry": True}
        self._journal.end("stopped", "run.failed", None, facts, Exit(code=INTERRUPTED, kind="interrupted", retry=True))
        self._console.say("aborted at once; nothing was saved beyond the last checkpoint")

    def _failed(self, error: BaseException) -> None:
        code, retry = (error.exit_code, error.retry) if isinstance(error, HydraError) else (1, True)
        name, message = type(error).__name__, str(error)
        facts = {"code": code, "exception": name, "message": message, "rank": self._rank, "retry": retry}
        trace = "".join(traceback.format_exception(error))
        write_json(self._run.crash_report(self._rank), facts | {"traceback": trace})
        culprit = Culprit(rank=self._rank, exception=name, message=message)
        memory = isinstance(error, DeviceMemoryError)
        ended = Exit(code=code, kind="gpu" if memory else name, culprit=culprit, retry=retry)
        self._journal.end("oom" if memory else "failed", "run.failed", None, facts, ended)


def as_hydra_error(error: BaseException) -> BaseException:
    """The error a user can act on, where torch's own says less."""
    if isinstance(error, torch.OutOfMemoryError):
        return DeviceMemoryError(
            f"the device ran out of memory: {error}",
            why="weights, optimizer state and the activations of one micro-batch must fit at once",
            fix="halve training.micro_batch (the batch and the loss stay the same), or recompute activations",
            example="--set training.micro_batch=4 --set training.activation_checkpointing=full",
        )
    if _from_a_collective(error):
        return PeerLost(
            f"a collective failed: {error}",
            why="another rank ended, or the link or device to it was lost; its own log and crash file say which",
            fix="look at log/rank-*.log and crash/ of the run for the rank that ended first, then resume",
            example="torchrun --nproc-per-node 2 trainer.py --resume latest",
        )
    return error


def _from_a_collective(error: BaseException) -> bool:
    """Whether torch's communication raised it. Gloo raises plain RuntimeErrors that name a source file of its own."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "/gloo/" in str(error))


def conclude(session: Session, outcome: Outcome, journal: Journal, console: Console) -> None:
    """The final record of a run that ended well, and a summary recomputed from metrics.jsonl alone."""
    facts: dict[str, Any] = {"step": outcome.step, "saved_step": outcome.saved, "code": 0}
    if outcome.completed:
        journal.end("completed", "run.completed", outcome.step, facts, Exit(code=0))
    else:
        journal.end("stopped", "run.stopped", outcome.step, facts, Exit(code=0, kind="requested"))
    for text in outcome.samples:
        console.say(f"--- sample\n{text}\n---")
    for line in (*_figures(session, outcome), *_next_steps(session, outcome)):
        console.say(line)


def _figures(session: Session, outcome: Outcome) -> list[str]:
    lines = []
    rows = read_metrics(session.run.metrics).current
    seconds = sum(row["step_ms"] for row in rows) / 1e3
    if seconds > 0:
        tokens = sum(row["tokens_per_s"] * row["step_ms"] for row in rows) / 1e3
        lines.append(
            f"trained {len(rows)} steps, {tokens:,.0f} tokens in {seconds:,.0f} s ({tokens / seconds:,.0f} tok/s)"
        )
    first = outcome.first.bits_per_byte if outcome.first is not None else None
    last = outcome.last.bits_per_byte if outcome.last is not None else None
    if first is not None and last is not None and outcome.last is not outcome.first:
        lines.append(f"held-out bits per byte {first:.3f} -> {last:.3f}")
    return lines


def _next_steps(session: Session, outcome: Outcome) -> list[str]:
    run = session.run
    # Commands look into `runs` unless told otherwise; a run elsewhere is named by its path.
    name = run.id if run.path.parent == Path("runs").resolve() else shlex.quote(str(run.path))
    if outcome.completed:
        return [
            f"completed at step {outcome.step}; checkpoint step-{outcome.saved} in {run.checkpoints}",
            f"curves: hydra report {name}",
            f"text:   hydra generate {name} --prompt 'def '",
        ]
    if outcome.saved is None:
        return [f"stopped at step {outcome.step}; there was nothing to save yet"]
    return [f"stopped; saved step {outcome.saved}", f"continue: python trainer.py --resume {name}"]
