"""What is written into a run's environment.json."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from hydra.platform import capabilities, environment
from hydra.platform import environment as describe


def test_it_is_json_and_tells_versions_and_device() -> None:
    record = environment(capabilities("cpu"))
    assert json.loads(json.dumps(record)) == record
    assert record["versions"]["python"]
    assert record["device"]["kind"] == "cpu"
    assert "gpus" not in record


def test_environment_variables_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "very-secret-value")
    assert "very-secret-value" not in json.dumps(environment(capabilities("cpu")))


def test_gpus_are_what_the_driver_reports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, NVIDIA H200, GPU-1a, 143771 MiB, 700.00 W, 1980 MHz, 580.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    gpu = dataclasses.replace(capabilities("cpu"), kind="cuda", name="NVIDIA H200", compute_capability=(9, 0))
    record = describe(gpu)
    assert record["gpus"][0]["power.limit"] == "700.00 W"
    assert record["gpus"][0]["uuid"] == "GPU-1a"
    assert record["device"]["peak_bf16_flops"] == 989e12


@pytest.mark.needs("git")
def test_the_commit_and_whether_the_tree_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hydra

    package = tmp_path / "hydra"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(hydra, "__file__", str(package / "__init__.py"))
    assert "code" not in environment(capabilities("cpu"))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    code = environment(capabilities("cpu"))["code"]
    assert len(code["commit"]) == 40
    assert code["dirty"] is False
    (tmp_path / "notes.txt").write_text("own text")
    assert environment(capabilities("cpu"))["code"]["dirty"] is False
    (package / "__init__.py").write_text("x = 1\n")
    assert environment(capabilities("cpu"))["code"]["dirty"] is True
