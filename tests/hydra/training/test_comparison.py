"""Runs of a comparison prove their conditions, and are judged together."""

from __future__ import annotations

import json

import pytest
import yaml

from hydra.cli import main
from hydra.errors import ComparisonError
from hydra.training import building

SEEDS = [1, 2, 3]


@pytest.fixture
def compared(manifest):
    """Writes the tiny manifest as a fair comparison of two windows."""

    def write(changes=None):
        block = {"mixer": {"kind": "softmax", "heads": 2, "window": 8}, "mlp": {"kind": "swiglu"}}
        return manifest(
            {
                "seeds": SEEDS,
                "training.determinism": "exact",
                "training.compile": "none",
                "training.nonfinite_in_a_row": 1,
                "training.nonfinite_in_1000": 1,
                "training.steps": 4,
                "precision.compute": "fp32",
                "parallel.data": 1,
                "runs.arms": {"full": {}, "window": {"model": {"blocks": [block, block]}}},
                "comparison": {"apples_to_apples": True, "arms": ["full", "window"], "varies": ["model.blocks"]},
                **(changes or {}),
            }
        )

    return write


@pytest.fixture
def clean(monkeypatch):
    """The code as if it were committed, whatever this working tree is."""
    original = building.environment
    code = {"commit": "0" * 40, "dirty": False}
    monkeypatch.setattr(building, "environment", lambda machine: {**original(machine), "code": code})


def test_a_whole_comparison_ends_in_a_verdict(compared, train, folder, clean, capsys):
    file = compared()
    for arm in ("full", "window"):
        for seed in SEEDS:
            assert train(file, only=f"tiny-{arm}-s{seed}") == 0
    records = [json.loads(path.read_text()) for path in sorted((folder / "runs").glob("*/comparison.json"))]
    assert len(records) == 6
    by_seed = {}
    for record in records:
        assert record["finished"]
        assert list(record["stream"]) == ["4"]
        by_seed.setdefault(record["start"]["seed"], set()).add(record["stream"]["4"])
    assert all(len(digests) == 1 for digests in by_seed.values()), "arms of one seed see the same data"
    assert len(set.union(*by_seed.values())) == 3, "seeds see different data"
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(file), "--directory", str(folder / "runs")])
    assert ended.value.code == 0
    assert "not distinguishable" in capsys.readouterr().out


def test_a_missing_run_voids_the_comparison(compared, train, folder, clean):
    file = compared()
    train(file, only="tiny-full-s1")
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(file), "--directory", str(folder / "runs")])
    assert ended.value.code == 2


def test_changed_code_voids_a_run_before_its_first_step(compared, train, monkeypatch):
    original = building.environment
    code = {"commit": "0" * 40, "dirty": True}
    monkeypatch.setattr(building, "environment", lambda machine: {**original(machine), "code": code})
    with pytest.raises(ComparisonError, match="differs from commit"):
        train(compared(), only="tiny-full-s1")


def test_arms_of_unequal_size_are_refused_at_load(compared, train):
    block = {"mixer": {"kind": "softmax", "heads": 2}, "mlp": {"kind": "swiglu"}}
    with pytest.raises(ComparisonError, match="parameters"):
        train(compared({"runs.arms": {"full": {}, "window": {"model": {"blocks": [block] * 3}}}}), only="tiny-full-s1")


def test_the_digest_survives_a_resume(compared, train, folder, clean, stop_after):
    file = compared({"seeds": SEEDS})
    train(file, only="tiny-full-s1")
    train(file, only="tiny-window-s1", requests=stop_after(1))
    train(resume="latest")
    digests = set()
    for path in (folder / "runs").glob("*/comparison.json"):
        digests.add(json.loads(path.read_text())["stream"]["4"])
    assert len(digests) == 1


def test_other_runs_write_no_comparison(manifest, train, only_run):
    train(manifest({"training.steps": 1}))
    assert not only_run().comparison.exists()
    assert yaml.safe_load(only_run().manifest.read_text())["manifest"]["comparison"] is None
