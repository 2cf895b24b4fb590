"""A run small enough to train in a second, and ways to train it here and in a process of its own."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra.runs import RunDirectory
from hydra.training.options import TrainOptions
from hydra.training.signals import Requests

ROOT = Path(__file__).resolve().parents[3]


def tree(folder: Path) -> dict[str, Any]:
    """The manifest of a tiny run whose every file lies in `folder`."""
    block = {"mixer": {"kind": "softmax", "heads": 2}, "mlp": {"kind": "swiglu"}}
    return {
        "schema": 1,
        "name": "tiny",
        "seeds": [7],
        "data": {
            "corpus": {"kind": "synthetic", "tokens": 20_000, "document": 90},
            "sequence": 32,
            "held_out": 0.1,
            "tokenizer_artifacts": str(folder / "tokenizers"),
            "token_artifacts": str(folder / "tokens"),
        },
        "tokenizer": {"kind": "bytes"},
        "model": {"width": 32, "blocks": [{"repeat": {"count": 2, "of": [block]}}]},
        "optimizer": {"kind": "adamw", "lr": 1.0e-2},
        "schedule": {"kind": "constant"},
        "training": {"steps": 12, "batch": 4, "micro_batch": 2, "device": "cpu", "threads": 1},
        "evaluation": {"every": 0, "rows": 4, "samples": {"tokens": 4}},
        "checkpoint": {"every": 5},
        "kernels": {"ledger": str(folder / "kernels.json")},
        "runs": {"directory": str(folder / "runs")},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a test's runs and artifacts lie."""
    return tmp_path


@pytest.fixture
def manifest(folder: Path) -> Callable[..., Path]:
    """Writes the tiny manifest with changes by dotted path and returns its file."""

    def write(changes: dict[str, Any] | None = None, name: str = "manifest.yaml") -> Path:
        data = copy.deepcopy(tree(folder))
        for path, value in (changes or {}).items():
            node: Any = data
            *parents, last = path.split(".")
            for part in parents:
                node = node.setdefault(part, {})
            node[last] = value
        file = folder / name
        file.write_text(json.dumps(data, indent=1))
        return file

    return write


@pytest.fixture
def train(folder: Path) -> Callable[..., int]:
    """Trains in this process, with runs in the test's folder; returns the exit code."""
    # Imported here, since it imports torch, which collecting the tests does not need.
    from hydra.training.entry import train as entry

    def call(manifest: Path | None = None, *, requests: Requests | None = None, **options: Any) -> int:
        options.setdefault("directory", folder / "runs")
        return entry(TrainOptions(manifest=manifest, **options), requests or Requests())

    return call


@pytest.fixture
def only_run(folder: Path) -> Callable[[], RunDirectory]:
    """The one run there is."""

    def find() -> RunDirectory:
        found = sorted(path for path in (folder / "runs").iterdir() if path.is_dir())
        assert len(found) == 1, found
        return RunDirectory(found[0])

    return find


@pytest.fixture
def trainer(folder: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `trainer.py` as a process of its own."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "trainer.py"), *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start
