"""From a step's result row to its line of metrics, the console and the sinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hydra.manifest import Manifest
from hydra.training.console import Console
from hydra.training.journal import Journal
from hydra.training.readback import Result
from hydra.training.sinks import SinkThread, scalars
from hydra.training.step import COLUMNS, SUMS
from hydra.training.throughput import Throughput


@dataclass(frozen=True)
class Context:
    """What the host knows of a step when it enqueues it."""

    step: int
    """Optimizer steps completed with this one."""
    samples: int
    """Rows consumed with this one."""
    lr: float
    data_wait_ms: float
    extra: Mapping[str, Any]
    """Further fields of the step's row: memory, whose peak the allocator knows when the step is enqueued."""


@dataclass(frozen=True)
class Settled:
    """A step whose numbers have arrived."""

    context: Context
    loss: float
    grad_norm: float
    skipped: bool
    targets: int
    row: dict[str, Any]


class Telemetry:
    """Composes metrics rows and passes them on."""

    def __init__(
        self,
        manifest: Manifest,
        throughput: Throughput,
        journal: Journal,
        console: Console,
        sinks: Sequence[SinkThread],
    ) -> None:
        self._names = [source.name for source in manifest.data.sources]
        self._throughput = throughput
        self._journal, self._console, self._sinks = journal, console, sinks

    def settle(self, result: Result[Context]) -> Settled:
        """Read a result row; nothing is written yet, since tokens are counted by the caller."""
        head = dict(zip(COLUMNS, result.values, strict=False))
        sums = np.asarray(result.values[len(COLUMNS) :]).reshape(len(SUMS), len(self._names))
        nats, targets, inputs = sums
        skipped = bool(head["skipped"])
        row: dict[str, Any] = {
            "step": result.context.step,
            "samples": result.context.samples,
            "loss": head["loss"],
            "lr": result.context.lr,
            "grad_norm": head["grad_norm"],
            "clip": head["clip"],
            "verdict": "nonfinite" if skipped else "ok",
            "skipped": skipped,
            "step_ms": result.milliseconds,
            "data_wait_ms": result.context.data_wait_ms,
            **self._throughput.rates(float(inputs.sum()), result.milliseconds),
            **result.context.extra,
        }
        if len(self._names) > 1:
            row["loss_sources"] = {
                name: float(nats[index] / targets[index])
                for index, name in enumerate(self._names)
                if targets[index] > 0
            }
        return Settled(result.context, head["loss"], head["grad_norm"], skipped, int(targets.sum()), row)

    def publish(self, row: Mapping[str, Any]) -> None:
        """Write a complete row everywhere."""
        self._journal.metrics(row)
        self._journal.step_done(int(row["step"]), int(row["tokens"]), float(row["step_ms"]))
        self._console.show(row)
        for sink in self._sinks:
            sink.put(int(row["step"]), scalars(row))

    def evaluation(self, step: int, numbers: Mapping[str, float]) -> None:
        """Pass an evaluation's numbers to the sinks."""
        for sink in self._sinks:
            sink.put(step, dict(numbers))

    def close(self) -> None:
        """Let the sinks finish."""
        for sink in self._sinks:
            sink.close()
