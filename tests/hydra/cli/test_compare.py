"""`hydra compare`: a verdict over finished runs, and no verdict over anything less."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hydra.manifest import Run, load, manifest_hash
from hydra.manifest.comparison import METRICS, EndRecord, Size, start_record
from hydra.runs import RunDirectory, write_json, write_yaml

BITS = next(iter(METRICS))
ARMS = """
seeds: [1, 2, 3]
comparison: {apples_to_apples: false, arms: [base, wide], varies: [model.blocks]}
runs:
  arms:
    base: {}
    wide: {model: {blocks: [{mixer: {kind: softmax, heads: 2}, mlp: {kind: swiglu, hidden: 256}}]}}
"""


@pytest.fixture
def arms(trained: Any, tmp_path: Path) -> Path:
    """A manifest with two arms and three seeds."""
    path = tmp_path / "arms.yaml"
    path.write_text(trained.manifest_file.read_text("utf-8") + ARMS, encoding="utf-8")
    return path


def finish(folder: Path, run: Run, *, bits: float, finished: bool = True, now: datetime | None = None) -> RunDirectory:
    """A run of a comparison that ended, with what it wrote down."""
    directory = RunDirectory.create(folder, run.manifest.name, now)
    write_yaml(directory.manifest, {"manifest_hash": manifest_hash(run.manifest)})
    start = start_record(run.manifest, size=Size(1, 1, 1.0), numerics={}, hardware={}, ops={}, commit="c", dirty=False)
    end = EndRecord(
        start=start, finished=finished, steps=4, skipped=0, tokens=256, stream={4: "d"}, metrics={BITS: bits}
    )
    write_json(directory.path / "comparison.json", end.model_dump(mode="json"))
    return directory


def finish_all(arms: Path, folder: Path) -> list[RunDirectory]:
    gains = {"base": 0.0, "wide": -0.2}
    return [finish(folder, run, bits=2.0 + run.manifest.seed / 100 + gains[str(run.arm)]) for run in load(arms).runs]


def test_a_verdict_over_finished_runs(arms: Path, tmp_path: Path, invoke: Any) -> None:
    runs = finish_all(arms, tmp_path / "runs")
    result = invoke("compare", arms, "--directory", tmp_path / "runs")
    assert result.code == 0
    line = result.out.splitlines()[1].split()
    assert line[:4] == [BITS, "wide", "base", "-0.2"]
    assert line[-1] == "better"
    assert all(run.id in result.err for run in runs)
    assert "equal conditions were not demanded" in result.err
    record = invoke("compare", arms, "--directory", tmp_path / "runs", "--json").json
    assert record["findings"][0]["outcome"] == "better"
    assert record["void"] == []


def test_a_missing_run_voids_the_comparison(arms: Path, tmp_path: Path, invoke: Any) -> None:
    for run in load(arms).runs[1:]:
        finish(tmp_path / "runs", run, bits=2.0)
    result = invoke("compare", arms, "--directory", tmp_path / "runs")
    assert result.code == 2
    assert result.out == ""
    assert "missing: base with seed 1" in result.err
    as_json = invoke("compare", arms, "--directory", tmp_path / "runs", "--json")
    assert as_json.code == 2
    assert as_json.json["findings"] == []
    assert as_json.json["void"]


def test_a_run_that_was_repeated_and_did_not_finish_voids_it_too(arms: Path, tmp_path: Path, invoke: Any) -> None:
    """The newest run counts: taking the best of several would be a choice made after the results."""
    finish_all(arms, tmp_path / "runs")
    finish(tmp_path / "runs", load(arms).runs[0], bits=1.0, finished=False, now=datetime.now(UTC) + timedelta(hours=1))
    result = invoke("compare", arms, "--directory", tmp_path / "runs")
    assert result.code == 2
    assert "not finished: base with seed 1" in result.err


def test_runs_of_other_settings_do_not_count(arms: Path, tmp_path: Path, invoke: Any) -> None:
    finish_all(arms, tmp_path / "runs")
    result = invoke("compare", arms, "--set", "training.steps=5", "--directory", tmp_path / "runs")
    assert result.code == 2
    assert "missing: base with seed 1" in result.err


def test_a_manifest_without_a_comparison(trained: Any, invoke: Any) -> None:
    result = invoke("compare", trained.manifest_file)
    assert result.code == 2
    assert "describes no comparison" in result.err
