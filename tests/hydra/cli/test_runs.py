"""`hydra runs`, `hydra report`, `hydra diff`: commands that only read run directories and manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hydra.runs import MetricsWriter, RunDirectory, write_yaml


def test_runs_lists_them_newest_first(trained: Any, invoke: Any) -> None:
    result = invoke("runs", "--directory", trained.root / "runs")
    assert result.code == 0
    head, line = result.out.splitlines()
    assert head.split() == ["run", "state", "step", "loss", "tokens/s", "age"]
    assert line.split()[:5] == [trained.run.id, "completed", "4/4", "5.1", "1.23k"]


def test_runs_as_json(trained: Any, invoke: Any) -> None:
    (row,) = invoke("runs", "--directory", trained.root / "runs", "--json").json
    assert row["id"] == trained.run.id
    assert (row["state"], row["step"], row["total_steps"], row["loss"]) == ("completed", 4, 4, 5.1)
    assert row["path"] == str(trained.run.path)


def test_no_runs(tmp_path: Path, invoke: Any) -> None:
    result = invoke("runs", "--directory", tmp_path)
    assert (result.code, result.out) == (0, "")
    assert "no runs" in result.err
    assert invoke("runs", "--directory", tmp_path, "--json").json == []


def test_a_damaged_run_hides_no_other(copy_of: RunDirectory, tmp_path: Path, invoke: Any) -> None:
    broken = RunDirectory.create(tmp_path / "runs", "broken")
    broken.state.write_text("{", encoding="utf-8")
    result = invoke("runs", "--directory", tmp_path / "runs")
    assert result.code == 0
    assert copy_of.id in result.out
    assert f"{broken.id}: " in result.err


def test_hostile_names_and_numbers_in_the_table(tmp_path: Path, invoke: Any) -> None:
    run = RunDirectory.create(tmp_path, "odd")
    with MetricsWriter(run.metrics, 1) as metrics:
        metrics.append({"step": 1, "loss": float("nan"), "tokens_per_s": 10.0})
    other = tmp_path / "\x1b[31m[bold]red"
    other.mkdir()
    write_yaml(other / "manifest.yaml", {})
    out = invoke("runs", "--directory", tmp_path).out
    assert "NaN" in out
    assert "\\x1b[31m[bold]red" in out
    assert "\x1b" not in out


def test_report_is_written_and_its_path_printed(copy_of: RunDirectory, tmp_path: Path, invoke: Any) -> None:
    result = invoke("report", "latest", "--directory", tmp_path / "runs")
    assert result.out == f"{copy_of.path / 'report.html'}\n"
    assert (copy_of.path / "report.html").read_text("utf-8").startswith("<!doctype html>")
    assert invoke("report", copy_of.path, "--out", tmp_path / "page.html").out == f"{tmp_path / 'page.html'}\n"


@pytest.mark.parametrize(
    "command",
    [
        ("report",),
        ("generate",),
        ("eval",),
        ("checkpoint", "list"),
        ("checkpoint", "verify"),
        ("data", "show", "--step", 1),
    ],
)
def test_a_run_that_does_not_exist(command: tuple[Any, ...], trained: Any, invoke: Any) -> None:
    result = invoke(*command, "tinny", "--directory", trained.root / "runs")
    assert result.code == 2
    assert "RunError: there is no run 'tinny'" in result.err
    assert trained.run.id in result.err


def test_a_run_by_the_beginning_of_its_id_and_by_path(trained: Any, invoke: Any) -> None:
    for reference in ("tiny", trained.run.id, trained.run.path):
        assert invoke("checkpoint", "list", reference, "--directory", trained.root / "runs").code == 0


def test_diff_of_two_manifests(trained: Any, tmp_path: Path, invoke: Any) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(trained.manifest_file.read_text("utf-8").replace("steps: 4", "steps: 9"), encoding="utf-8")
    result = invoke("diff", trained.manifest_file, other)
    assert result.code == 0
    assert result.out.splitlines()[1].split() == ["training.steps", "4", "9"]
    assert invoke("diff", trained.manifest_file, other, "--json").json == {"training.steps": {"first": 4, "second": 9}}


def test_diff_of_a_manifest_and_the_run_made_from_it(trained: Any, invoke: Any) -> None:
    result = invoke("diff", trained.manifest_file, "latest", "--directory", trained.root / "runs")
    assert (result.code, result.out) == (0, "")
    assert "no difference" in result.err


def test_a_mistyped_manifest_is_not_taken_for_a_run(trained: Any, invoke: Any) -> None:
    result = invoke("diff", trained.manifest_file, "tinny.yaml")
    assert result.code == 2
    assert "ManifestError: there is no manifest at 'tinny.yaml'" in result.err


def test_a_run_that_died_before_its_manifest(tmp_path: Path, invoke: Any) -> None:
    run = RunDirectory.create(tmp_path, "early")
    result = invoke("diff", run.path, run.path)
    assert result.code == 2
    assert "has no manifest" in result.err
