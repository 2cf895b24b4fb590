"""A small trained run as the trainer would have left it, and a way to run commands in this process or in a new one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from hydra.cli import main
from hydra.data import Dataset, prepare
from hydra.manifest import Manifest, experiment_hash, load, manifest_hash
from hydra.manifest.identity import resolved
from hydra.model import LanguageModel, build
from hydra.runs import (
    EventWriter,
    Exit,
    Heartbeat,
    MetricsWriter,
    RunDirectory,
    StateFile,
    write_json,
    write_yaml,
)
from hydra.training.checkpoint import CheckpointStore

MANIFEST = """\
schema: 1
name: tiny
data:
  corpus: {{kind: text, files: ["{folder}/corpus/*.txt"]}}
  sequence: 32
  held_out: 0.3
  tokenizer_artifacts: "{folder}/artifacts/tokenizers"
  token_artifacts: "{folder}/artifacts/tokens"
tokenizer: {{kind: bytes}}
model: {{width: 32, blocks: [{{mixer: {{kind: softmax, heads: 2}}, mlp: {{kind: swiglu}}}}]}}
optimizer: {{kind: adamw, lr: 1.0e-3}}
schedule: {{kind: wsd, warmup_steps: 1}}
training: {{steps: 4, batch: 2}}
evaluation: {{rows: 3, batch: 2}}
"""
STEPS = (2, 4)


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


Invoke = Callable[..., Result]


@dataclass(frozen=True)
class Trained:
    """A run with two checkpoints, and what it was made of. Nobody may change it; `copy_of` gives one that may be."""

    root: Path
    manifest_file: Path
    manifest: Manifest
    run: RunDirectory
    model: LanguageModel
    dataset: Dataset


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run `hydra` with some arguments in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def spawn() -> Invoke:
    """Run `hydra` with some arguments in a new process."""

    def run(*arguments: object) -> Result:
        command = [sys.executable, "-c", "from hydra.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """Opening a run sets torch's global switches; they are put back after each test."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The run that read-only tests share."""
    root = tmp_path_factory.mktemp("trained")
    (root / "corpus").mkdir()
    for number in range(40):
        text = f"def function_{number}(value):\n    return value + {number}\n" * 3
        (root / "corpus" / f"{number}.txt").write_text(text, encoding="utf-8")
    file = root / "tiny.yaml"
    file.write_text(MANIFEST.format(folder=root), encoding="utf-8")
    manifest = load(file).runs[0].manifest
    dataset = prepare(manifest)
    run = RunDirectory.create(root / "runs", manifest.name)
    write_record(run, manifest, dataset)
    dataset.tokenizer.save(run.tokenizer)
    model = build(
        manifest.model, dataset.vocabulary, seed=1, device="cpu", compute=torch.float32, deterministic=True
    ).eval()
    write_checkpoints(run, manifest, model)
    write_history(run)
    return Trained(root, file, manifest, run, model, dataset)


@pytest.fixture
def copy_of(trained: Trained, tmp_path: Path) -> RunDirectory:
    """A copy of the trained run that a test may damage, in `tmp_path/runs`."""
    return RunDirectory(Path(shutil.copytree(trained.run.path, tmp_path / "runs" / trained.run.id)))


def write_record(run: RunDirectory, manifest: Manifest, dataset: Dataset) -> None:
    """manifest.yaml, as the trainer describes a run."""
    record = {
        "schema": 1, "run": run.id, "attempt": 1, "name": manifest.name, "manifest": resolved(manifest), "origins": {},
        "manifest_hash": manifest_hash(manifest), "experiment_hash": experiment_hash(manifest), "overrides": [],
        "data": {"fingerprint": dataset.fingerprint}, "tokenizer": {"digest": dataset.tokenizer.digest},
        "seeds": [manifest.seed], "layout": {"world_size": 1, "accumulation": 1, "micro_batch": 2},
        "parameters": {"total": 20_000},
        "resolved": {"device": "cpu", "determinism": "exact", "compute": "fp32", "compile": "none", "threads": 1},
    }  # fmt: skip
    write_yaml(run.manifest, record)


def write_checkpoints(run: RunDirectory, manifest: Manifest, model: LanguageModel) -> None:
    """Two checkpoints of the same weights, the first with the better metric, beside optimizer state."""
    tensors = {f"model.{name}": value.detach() for name, value in model.named_parameters()}
    tensors |= {f"optimizer.{name}.exp_avg": torch.zeros_like(value) for name, value in model.named_parameters()}
    identity = experiment_hash(manifest)
    with CheckpointStore(
        run.checkpoints, run=run.id, attempt=1, configuration=identity, keep=manifest.checkpoint
    ) as store:
        for step in STEPS:
            store.save(step, tensors, {"state": {"step": step}}, tokenizer=run.tokenizer, metric=7.0 + step)
        store.wait()


def write_history(run: RunDirectory) -> None:
    """State, heartbeat, events and metrics of a run that completed."""
    state = StateFile(run.state, run.id, 1)
    with EventWriter(run.events, 1) as events, MetricsWriter(run.metrics, 1) as metrics:
        events.append("run.started", step=0)
        for step in range(1, STEPS[-1] + 1):
            metrics.append({"step": step, "loss": 5.5 - step / 10, "tokens_per_s": 1234.5, "lr": 1e-3})
        events.append("run.completed", step=STEPS[-1])
    Heartbeat(run.progress, attempt=1, total_steps=STEPS[-1], step=STEPS[-1]).close()
    state.enter("completed", exit=Exit(code=0))
    write_json(run.environment, {"versions": {"torch": torch.__version__}})
