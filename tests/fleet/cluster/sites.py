"""A project whose trainer needs no torch, deployed on the hosts of a group, and what the tests ask of those hosts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.runs import RunDirectory, State, read_events, read_state
from tests.farm.hosts import FarmHost
from tests.farm.processes import Process, carrying, end_all
from tests.farm.sshd import Farm
from tests.fleet.cluster.launches import free_port
from tests.fleet.cluster.programs import RELEASE
from tests.fleet.commands import ROOT, Fleet
from tests.fleet.remote.hosts import wait_for

ENDED = ("completed", "stopped", "failed", "oom", "killed", "lost")


class Site:
    """The project of a group `pair` of all hosts of a farm."""

    def __init__(self, root: Path, farm: Farm, *, ports: Sequence[int] = (), **defaults: Any) -> None:
        """`root` holds the project; `ports` of the master are free ones of this machine if not given."""
        self.root, self.farm = root, farm
        self._defaults = {"python": os.path.realpath(sys.executable), "gpu": "cpu", **defaults}
        given = ports or [free_port(farm.hosts[0].address) for _ in range(2)]
        self.ports = {"master_port": given[0], "lead_port": given[1]}
        self.fleet = Fleet(self.configured())

    def configured(self, instances: dict[str, dict[str, Any]] | None = None, **changes: Any) -> Path:
        """Write fleet.json, with changes in instances and in the group."""
        names = [host.name for host in self.hosts]
        group = {"members": names, "master": names[0], **self.ports, **changes}
        return self.farm.fleet_json(
            self.root, instances=instances, groups={"pair": group}, limits={"min_free_gib": 0.5}, **self._defaults
        )

    @property
    def hosts(self) -> list[FarmHost]:
        """The members, in the order of their ranks."""
        return self.farm.hosts

    def run(self, run: str, node: int) -> RunDirectory:
        """The directory of a run on a host."""
        return RunDirectory(self.hosts[node].home / "fleet" / "hydra" / "runs" / run)

    def train(self, *argv: str, expect: int | None = 0) -> dict[str, Any]:
        """Start a run on the group; what --json says of it, or of the failure."""
        done = self.fleet("train", "pair", "--json", *argv, expect=expect)
        return dict(done.data["pair"]) if done.code == 0 else done.json

    def state(self, run: str, node: int, *wanted: str) -> State:
        """The written state of a node once it is one of these; by default one in which the run has ended."""

        def look() -> State | None:
            found = read_state(self.run(run, node).state)
            return found if found is not None and found.state in (wanted or ENDED) else None

        found: State = wait_for(look, f"{run} on {self.hosts[node].name} to be {wanted or ENDED}")
        return found

    def states(self, run: str, *wanted: str) -> list[State]:
        """The same of all nodes."""
        return [self.state(run, node, *wanted) for node in range(len(self.hosts))]

    def runs(self, node: int) -> list[str]:
        """The ids of the runs that a host keeps."""
        folder = self.hosts[node].home / "fleet" / "hydra" / "runs"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def events(self, run: str, node: int = 0) -> list[tuple[str, dict[str, Any]]]:
        """Kinds and data of the events of a node."""
        return [(event.kind, event.data) for event in read_events(self.run(run, node).events).events]

    def wait_step(self, run: str, step: int) -> None:
        """Wait until rank 0 has come so far."""
        path = self.run(run, 0).progress
        wait_for(lambda: path.exists() and json.loads(path.read_text())["step"] >= step, f"step {step}")

    def processes(self, run: str, node: int) -> list[Process]:
        """What lives of a run on a host, its supervisor not counted."""
        return carrying({"FLEET_RUN_DIR": str(self.run(run, node).path)})

    def rank(self, run: str, rank: int, node: int) -> Process:
        """A living rank of a node."""
        found: list[Process] = wait_for(
            lambda: [one for one in self.processes(run, node) if one.environ().get("RANK") == str(rank)], f"rank {rank}"
        )
        return found[0]

    def clear(self) -> None:
        """End what a failed test has left on the hosts."""
        for host in self.hosts:
            end_all(one for one in host.processes() if "start" in one.argv() or "FLEET_RUN_ID" in one.environ())


def fake_project(root: Path, *arguments: str) -> Path:
    """A project whose trainer needs no package, and always has these arguments."""
    for path, text in RELEASE.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "trainer.py").write_text(f"import sys\nsys.argv += {list(arguments)}\n{RELEASE['trainer.py']}")
    (root / "manifests").mkdir()
    shutil.copy(ROOT / "manifests" / "default.yaml", root / "manifests")
    (root / "requirements.lock").write_text("# this trainer needs no package\n")
    (root / ".gitignore").write_text("/fleet.json\n/.fleet/\n")
    _commit(root)
    return root


def real_project(root: Path) -> Path:
    """This very project, without what training does not need."""
    for part in ("hydra", "manifests"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("trainer.py", "pyproject.toml", "constraints.txt", ".gitignore"):
        shutil.copy(ROOT / part, root / part)
    _commit(root)
    return root


def _commit(root: Path) -> None:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-q", "-m", "begin")):
        subprocess.run(["git", *command], cwd=root, check=True)
