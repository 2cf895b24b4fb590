"""Training on a GPU: no wait inside a step, exact resume, recomputation, and NCCL where there are two devices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hydra.runs import RunDirectory, read_metrics
from hydra.training.entry import train as entry
from hydra.training.options import TrainOptions
from hydra.training.signals import Requests
from hydra.training.step import Step

pytestmark = pytest.mark.needs("gpu")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def as_before():
    """The switches that an exact run sets are global."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def run(tmp_path):
    """Trains a small model on the GPU with changes and returns its run directory."""

    def call(folder="runs", requests=None, resume=None, **changes):
        block = {"mixer": {"kind": "softmax", "heads": 4, "kv_heads": 2}, "mlp": {"kind": "swiglu"}}
        tree = {
            "schema": 1,
            "name": "gpu",
            "data": {
                "corpus": {"kind": "synthetic", "tokens": 200_000, "document": 200},
                "sequence": 256,
                "token_artifacts": str(tmp_path / "tokens"),
                "tokenizer_artifacts": str(tmp_path / "tokenizers"),
                "document_masks": changes.pop("masks", True),
            },
            "tokenizer": {"kind": "ids", "vocabulary": 1024},
            "model": {"width": 256, "blocks": [{"repeat": {"count": 2, "of": [block]}}]},
            "optimizer": {"kind": "adamw", "lr": 1.0e-3},
            "schedule": {"kind": "constant"},
            "training": {"steps": 12, "batch": 8, "micro_batch": 4, "device": "cuda", **changes},
            "evaluation": {"every": 0, "rows": 8, "samples": {"prompts": []}},
            "checkpoint": {"every": 5},
            "kernels": {"ledger": str(tmp_path / "kernels.json")},
            "runs": {"directory": str(tmp_path / folder)},
        }
        file = tmp_path / f"{folder}.yaml"
        file.write_text(json.dumps(tree))
        options = TrainOptions(manifest=None if resume else file, resume=resume, directory=tmp_path / folder)
        assert entry(options, requests or Requests()) == 0
        return RunDirectory(next((tmp_path / folder).iterdir()))

    return call


def losses(directory):
    """Loss and norm of every step."""
    return [(row["step"], row["loss"], row["grad_norm"]) for row in read_metrics(directory.metrics).current]


@pytest.mark.parametrize("masks", [True, False])
def test_it_learns_and_no_step_waits_for_the_device(run, monkeypatch, masks):
    original = Step.run

    def watched(self, batch):
        if batch.step < 2:
            return original(self, batch)
        torch.cuda.set_sync_debug_mode("error")
        try:
            return original(self, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Step, "run", watched)
    rows = read_metrics(run(masks=masks).metrics).rows
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["memory_bytes"] > 0


@pytest.mark.parametrize("masks", [True, False])
def test_exact_stop_and_resume_equal_the_unbroken_run_in_every_bit(run, masks, stop_after):
    whole = losses(run("whole", masks=masks, determinism="exact"))
    run("parts", requests=stop_after(1), masks=masks, determinism="exact")
    assert losses(run("parts", resume="latest", masks=masks, determinism="exact")) == whole


@pytest.mark.parametrize("level", ["selective", "full"])
def test_recomputation_gives_the_same_losses(run, level):
    plain = losses(run("plain", activation_checkpointing="none"))
    again = losses(run("again", activation_checkpointing=level))
    for (_, loss, _), (_, other, _) in zip(plain, again, strict=True):
        assert other == pytest.approx(loss, rel=2e-3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_equal_one_at_the_same_global_batch(run, tmp_path):
    alone = losses(run("one", masks=False))
    tree = json.loads((tmp_path / "one.yaml").read_text())
    tree["runs"]["directory"] = str(tmp_path / "two")
    tree["training"]["micro_batch"] = 4
    file = tmp_path / "two.yaml"
    file.write_text(json.dumps(tree))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*launcher, str(ROOT / "trainer.py"), str(file)], check=True)
    both = losses(RunDirectory(next((tmp_path / "two").iterdir())))
    for (_, loss, norm), (_, other, other_norm) in zip(alone, both, strict=True):
        assert other == pytest.approx(loss, rel=5e-3)
        assert other_norm == pytest.approx(norm, rel=5e-2)
