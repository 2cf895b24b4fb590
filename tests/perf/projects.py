"""A project that `fleet train` takes as it takes a real one, and whose trainer is a stand-in without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.farm.hosts import FarmHost
from tests.farm.processes import end_all, process
from tests.farm.sshd import Farm
from tests.perf import trainers
from tests.perf.host_runs import everybody, supervisors
from tests.perf.measuring import ROOT
from tests.perf.programs import fleet, start_fleet
from tests.perf.tree import commit


class Project:
    """The project, deployed and set up on one host."""

    def __init__(self, folder: Path, farm: Farm, host: FarmHost | None = None) -> None:
        self.root, self.host = folder, host or farm.hosts[0]
        (folder / "manifests").mkdir(parents=True)
        shutil.copy(ROOT / "manifests" / "default.yaml", folder / "manifests")
        (folder / "trainer.py").write_text("import sys\nsys.argv[1:] = ['good', '']\n" + trainers.TRAINER)
        # Nothing is installed, so that no index is needed.
        (folder / "requirements.lock").write_text("# this trainer needs no package\n")
        (folder / ".gitignore").write_text("/fleet.json\n/.fleet/\n")
        commit(folder)
        farm.fleet_json(folder, hosts=[self.host], python=os.path.realpath(sys.executable), gpu="cpu")
        self.runs = self.host.home / "fleet" / "hydra" / "runs"
        fleet("deploy", self.host.name, cwd=folder)
        fleet("setup", self.host.name, cwd=folder)

    def train(self) -> subprocess.Popen[str]:
        """Begin to start a run; not waited for."""
        return start_fleet("train", self.host.name, "--no-deploy", "--json", cwd=self.root)

    def live(self) -> list[str]:
        """The runs whose supervisor lives."""
        found = sorted(self.runs.iterdir()) if self.runs.is_dir() else []
        return [path.name for path in found if supervisors(path)]

    def clear(self) -> None:
        """Kill everything of every run."""
        names = {path.name for path in self.runs.iterdir()} if self.runs.is_dir() else set()
        holders = [one for path in names for pid in supervisors(self.runs / path) if (one := process(pid)) is not None]
        end_all([*holders, *(one for one in everybody() if one.environ().get("FLEET_RUN_ID") in names)])
