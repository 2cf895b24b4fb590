"""Run directories as a trainer would have left them, made through the writers of hydra.runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from hydra.runs import (
    EventWriter,
    Exit,
    Heartbeat,
    MetricsWriter,
    RunDirectory,
    SampleWriter,
    StateFile,
    write_json,
    write_text,
    write_yaml,
)

START = 1_770_000_000.0
HOSTILE = '<script>alert("x")</script> & </pre><img src=x onerror=alert(1)>\x00\x1b[31m'


class Clock:
    """Time as a test tells it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def metrics_row(step: int, total: int, noise: np.random.Generator) -> dict[str, Any]:
    """A plausible line of metrics."""
    loss = 1.25 + 4.3 * math.exp(-step / (total / 9)) + 0.4 * math.exp(-step / (total / 2)) + noise.normal(0, 0.06)
    warm = min(1.0, step / 20) * min(1.0, (total - step) / (total * 0.2) + 1e-3)
    norm = 0.4 + 3 * math.exp(-step / 30) + abs(noise.normal(0, 0.15))
    return {
        "step": step, "samples": step * 16, "tokens": step * 4096, "loss": loss, "lr": 3e-3 * warm,
        "grad_norm": norm, "clip": min(1.0, 1.0 / norm), "verdict": "ok", "skipped": False, "step_ms": 480.0,
        "tokens_per_s": 8300 * noise.normal(1, 0.04), "memory_bytes": 812_000_000,
    }  # fmt: skip


def manifest_document(name: str, total: int) -> dict[str, Any]:
    """What the trainer writes to manifest.yaml, in small."""
    tree = {
        "schema": 1, "name": name, "notes": "the default model on the standard library",
        "data": {"sequence": 256, "packing": "concat", "sources": [{"name": "stdlib", "weight": 1.0}]},
        "model": {"width": 160, "context": 256, "blocks": [{"id": "block.0", "mixer": {"kind": "softmax"}}]},
        "optimizer": [{"kind": "adamw", "lr": 0.003, "betas": [0.9, 0.95]}],
        "training": {"steps": total, "batch": 16, "clip": 1.0, "device": "auto"},
    }  # fmt: skip
    return {
        "schema": 1, "run": f"{name}-20260202-024000-k3qz", "attempt": 1, "name": name, "manifest": tree,
        "origins": {
            "schema": "manifests/default.yaml:2", "name": "manifests/default.yaml:3", "data.packing": "default",
            "data.sequence": "manifests/default.yaml:6", "model.context": "data.sequence", "model.width": "--set",
            "training.clip": "default", "optimizer.0.betas.0": "betas-of-the-file", "notes": "default.yaml:4",
            "training.steps": "manifests/default.yaml:16", "training.device": "default",
        },
        "manifest_hash": "9f2c41d7" * 8, "experiment_hash": "0a1b2c3d" * 8, "overrides": ["model.width=160"],
        "code": {"commit": "4c1d" * 10, "dirty": False},
        "data": {"fingerprint": "77aa", "summary": {"documents": 1502, "tokens": 11_204_113}},
        "tokenizer": {"digest": "beef", "size": 257, "vocabulary": 384}, "seeds": [1],
        "layout": {"world_size": 1, "accumulation": 1, "micro_batch": 16},
        "parameters": {"total": 1_352_160, "embedding": 61_440, "matmul": 1_290_240},
        "flops_per_token": {"full": 9_700_000, "causal": 8_700_000},
        "resolved": {"device": "cpu", "determinism": "exact", "compute": "fp32", "compile": "off", "threads": 2},
    }  # fmt: skip


class Author:
    """Writes a run directory as the trainer would."""

    hostile = HOSTILE

    def __init__(self, run: RunDirectory, clock: Clock) -> None:
        self.run, self.clock = run, clock

    def document(self, total: int) -> dict[str, Any]:
        """The content of manifest.yaml."""
        return manifest_document("stdlib", total)

    def row(self, step: int, total: int) -> dict[str, Any]:
        """One line of metrics."""
        return metrics_row(step, total, np.random.default_rng(step))

    def attempt(
        self,
        attempt: int,
        steps: range,
        total: int,
        change: Callable[[dict[str, Any]], Mapping[str, Any]] = lambda row: row,
    ) -> None:
        """Events and metrics of one attempt over some steps; `change` may alter rows."""
        noise, clock, begun = np.random.default_rng(attempt), self.clock, steps.start - 1
        with EventWriter(self.run.events, attempt, clock=clock) as events:
            metrics = MetricsWriter(self.run.metrics, attempt, clock)
            events.append("run.started" if attempt == 1 else "run.resumed", step=begun, data={"step": begun})
            if attempt == 1:
                # The evaluation before the first step has no line of metrics, only an event.
                events.append("eval.summary", step=0, data={"eval.bits_per_byte": 8.02, "eval.loss": 5.56})
            for step in steps:
                clock.now += 0.5
                row = metrics_row(step, total, noise)
                if step % 50 == 0:
                    scored = {"eval.bits_per_byte": row["loss"] * 1.42, "eval.loss": row["loss"] + 0.05}
                    row |= scored | {"eval.standard_error": 0.031}
                    events.append("eval.summary", step=step, data=scored)
                    events.append("checkpoint.saved", step=step, data={"step": step})
                metrics.append(change(row))
            metrics.close()

    def samples(self, steps: range, text: str) -> None:
        """One round of two samples at each step."""
        samples = SampleWriter(self.run.samples, 1)
        for step in steps:
            for number, prompt in enumerate(("", "def main(")):
                samples.append({
                    "step": step, "set": "samples", "prompt_id": str(number), "index": 0, "seed": 0, "prompt": prompt,
                    "settings": {"temperature": 0.8, "top_k": 40}, "text": text, "tokens": 64, "ended": "length",
                    "repetitive": number == 0,
                })  # fmt: skip
        samples.close()

    def checkpoint(self, step: int, *, complete: bool = True) -> None:
        """A folder that looks like a checkpoint."""
        folder = self.run.checkpoint(step)
        folder.mkdir(parents=True)
        (folder / "shard-00000.safetensors").write_bytes(bytes(50_000))
        if complete:
            write_json(folder / "COMPLETE.json", {"step": step})

    def everything(self) -> None:
        """Three attempts, taken-back steps, skipped steps, NaN, hostile text, samples and checkpoints."""
        run, clock, total = self.run, self.clock, 400
        state = StateFile(run.state, run.id, 1, clock=clock)
        write_yaml(run.manifest, self.document(total))
        write_json(run.environment, {"versions": {"torch": "2.13.0"}, "cpu": {"model": HOSTILE, "count": 2}})
        self.attempt(1, range(1, 171), total, spoiled)
        clock.now += 3600
        self.attempt(2, range(151, 301), total, spoiled)
        clock.now += 60
        self.attempt(3, range(301, total + 1), total, spoiled)
        self.samples(range(100, 401, 100), PYTHON)
        self.samples(range(401, 402), HOSTILE)
        for step in (300, 350, 400):
            self.checkpoint(step, complete=step != 350)
        write_text(run.checkpoints / "latest", "step-400\n")
        write_text(run.checkpoints / "best", "step-300\n")
        with EventWriter(run.events, 3, clock=clock) as events:
            events.append("guard.nonfinite", level="warning", step=250, data={"report": "guard/step-250.json"})
            events.append("signal.received", level="error", step=390, data={"name": HOSTILE})
            events.append("run.completed", step=total, data={"steps": total})
        Heartbeat(run.progress, attempt=3, total_steps=total, step=total, clock=clock).close()
        state.enter("completed", exit=Exit(code=0), last_step=total)


def spoiled(row: dict[str, Any]) -> Mapping[str, Any]:
    """The row, or at some steps what a diverging model gives."""
    bad = row["step"] in (120, 121, 250)
    return {**row, "loss": math.nan, "grad_norm": math.inf, "verdict": "nonfinite", "skipped": True} if bad else row


PYTHON = '''    """Return the first item of the list."""
    def __init__(self, name, default=None):
        self.name = name
        if default is not None:
            raise TypeError("expected %r, got %r" % (name, default))
        return self._items[0]
'''


@pytest.fixture(scope="module")
def author_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Author]:
    """Makes runs that have just been made (no file yet), each with the one who writes it."""

    def make() -> Author:
        root = tmp_path_factory.mktemp("runs")
        return Author(RunDirectory.create(root, "stdlib", datetime(2026, 2, 2, 2, 40, tzinfo=UTC)), Clock())

    return make


@pytest.fixture
def author(author_of: Callable[[], Author]) -> Author:
    """A run that has just been made, with the one who writes it."""
    return author_of()


@pytest.fixture
def full_run(author: Author) -> RunDirectory:
    """A run with everything in it."""
    author.everything()
    return author.run
