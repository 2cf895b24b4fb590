"""The whole way over real OpenSSH: deploy, set up, train, lose the link, follow, stop, resume, download, compare."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.commands import ROOT, Fleet

#: A model that takes milliseconds a step; the run is longer than the test wants to wait, and is stopped.
SETTINGS = {
    "training.steps": "5000",
    "training.batch": "2",
    "data.sequence": "32",
    "model.width": "16",
    "model.blocks": "[{mixer: {kind: softmax, heads: 2}, mlp: {kind: swiglu}}]",
    "schedule.warmup_steps": "5",
    "evaluation.every": "0",
    "checkpoint.every": "10",
    "training.log_every": "1",
}
ARGUMENTS = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
#: What a project consists of; tests and history are not needed to train.
PARTS = ("hydra", "fleet", "manifests", "trainer.py", "pyproject.toml", "constraints.txt", ".gitignore")
#: Steps of the second attempt that are compared.
AFTER = 15
MODES = ("rst", "close", "hole")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A work tree of this project, as somebody has it who cloned it."""
    folder = tmp_path / "project"
    folder.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, folder / part)
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-q", "-m", "as it is")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


class Follower:
    """`fleet logs -f --json` as a process, read line by line."""

    def __init__(self, fleet: Fleet, *argv: str) -> None:
        self.process = fleet.process("logs", "h0", "-f", "--json", *argv)
        self.rows: list[dict[str, Any]] = []

    def read(self, count: int) -> None:
        """Wait for so many more lines of the run."""
        wanted = len(self.rows) + count
        assert self.process.stdout is not None
        while len(self.rows) < wanted:
            text = self.process.stdout.readline()
            assert text, (self.process.wait(), self.process.stderr and self.process.stderr.read())
            row = json.loads(text)
            if row["kind"] == "line":
                self.rows.append(row)

    def rest(self) -> dict[str, Any]:
        """Read to the end of the run; returns the last record."""
        assert self.process.stdout is not None
        last: dict[str, Any] = {}
        for text in self.process.stdout:
            last = json.loads(text)
            self.rows += [last] if last["kind"] == "line" else []
        return last

    def kill(self) -> None:
        """End it at once, as a laptop that is closed."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def local_run(project: Path, folder: Path) -> Iterator[Path]:
    """The same settings trained here, without fleet; gives the file of its metrics."""
    command = [sys.executable, "trainer.py", "manifests/default.yaml", *ARGUMENTS, "--set", f"runs.directory={folder}"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (found := list(folder.glob("*/metrics.jsonl"))):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.02)
        yield found[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def losses(metrics: Path) -> dict[int, str]:
    """The loss of each step as it was written, digit for digit; the last attempt counts."""
    rows = [json.loads(line, parse_float=str) for line in metrics.read_text().splitlines() if line.endswith("}")]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def digests(folder: Path) -> dict[str, str]:
    """Path and SHA-256 of every file."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def unbroken(rows: list[dict[str, Any]]) -> bool:
    """Whether lines follow each other without a gap, and none came twice."""
    numbers = [row["seq"] for row in rows]
    return bool(numbers) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.needs("git")
def test_a_run_survives_the_way_there_and_back(project: Path, farm, proxy, tmp_path: Path) -> None:
    place = farm(1, fresh=True)
    host, front = place.hosts[0], proxy(place.hosts[0])
    through = place.through(0, front)
    config = place.fleet_json(
        project,
        hosts=[through],
        python=sys.executable,
        limits={"min_free_gib": 1},
        watchdog={"interval": 0.5, "limit": 1.5},
    )
    fleet = Fleet(config)
    runs = host.home / "fleet" / "hydra" / "runs"

    deployed = fleet.run("deploy", "h0", "--json").data["h0"]
    assert deployed["action"] == "uploaded"
    assert fleet.run("deploy", "h0", "--json").data["h0"]["action"] == "noop"
    ready = fleet.run("setup", "h0", "--json", "--reuse-torch").data["h0"]
    assert (ready["mode"], ready["action"]) == ("reuse", "built")
    started = fleet.run("train", "h0", "--name", "way", "--json", "--", *ARGUMENTS).data["h0"]
    run = started["run"]
    assert started["confirmed"] and started["release"] == deployed["release"]

    follower = Follower(fleet, "--run", run, "--since", "0")
    for mode in MODES:
        follower.read(12)
        front.cut_after(200, mode, "down")
        assert front.wait_cut(20)
    follower.read(12)
    follower.kill()
    again = Follower(fleet, "--run", run, "--since", str(follower.rows[-1]["cursor"]))
    again.read(5)
    stopped = fleet.run("stop", "h0", "--json").data["h0"][0]
    assert stopped["state"] == "stopped" and stopped["proven"] and not stopped["survivors"]
    step = stopped["checkpoint"]["step"]
    assert again.rest()["kind"] == "ended" and again.process.wait(20) == 0
    assert unbroken(follower.rows + again.rows)

    resumed = fleet.run("resume", "h0", "--json", "--", "--set", "checkpoint.every=7").data["h0"]
    assert (resumed["run"], resumed["attempt"], resumed["resumed_from"]) == (run, 2, step)
    assert resumed["changes"] == [{"name": "checkpoint.every", "was": 10, "becomes": 7}]
    deadline = time.monotonic() + 60
    while max(losses(runs / run / "metrics.jsonl")) < step + AFTER:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    text = fleet.run("stop", "h0", "--run", run).out
    assert "stopped; checkpoint step " in text and text.rstrip().endswith("verified")
    # It reads every file of what is current: also a root's run writes nothing beside its sources.
    assert fleet.run("deploy", "h0", "--no-switch", "--json").data["h0"]["action"] == "noop"

    fetched = fleet.run("download", "h0", "--json", "--checkpoint", "all").data["h0"]
    here, there = digests(Path(fetched["path"])), digests(runs / run)
    assert fetched["outcome"]["files"] == len(here) and here.items() <= there.items()
    complete = {f"checkpoints/step-{number}/COMPLETE.json" for number in fetched["outcome"]["steps"]}
    assert complete and complete | {"metrics.jsonl", "events.jsonl", "run.json"} <= here.keys()

    remote = losses(Path(fetched["path"]) / "metrics.jsonl")
    assert sorted(remote) == list(range(1, max(remote) + 1)) and max(remote) >= step + AFTER
    with local_run(project, tmp_path / "local") as metrics:
        while len(losses(metrics)) < len(remote):
            time.sleep(0.05)
    assert {number: losses(metrics)[number] for number in remote} == remote
