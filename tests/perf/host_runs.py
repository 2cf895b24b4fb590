"""Runs on a farm's host for measurements: launch requests, controllers that start them, and what is left of them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.errors import FleetError
from fleet.ssh import Deadline
from hydra.runs import RunId
from tests.farm.hosts import FarmHost
from tests.farm.processes import Process, end_all, process
from tests.farm.sshd import Farm
from tests.perf import trainers
from tests.perf.measuring import ROOT
from tests.perf.programs import environment
from tests.perf.sessions import opened


@dataclass(frozen=True)
class Run:
    """A run that was asked for: its id, its token, and its directory on the host."""

    id: str
    token: str
    path: Path
    request: Path
    """File with the launch request."""

    def state(self) -> dict[str, Any]:
        """What state.json says; empty before it is there."""
        file = self.path / "state.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}


class HostRuns:
    """One host, one project, any number of runs after each other."""

    def __init__(self, folder: Path, farm: Farm, host: FarmHost | None = None) -> None:
        self.host = host or farm.hosts[0]
        self.project = folder
        folder.mkdir(parents=True)
        farm.fleet_json(folder, hosts=[self.host])
        self.deploy_dir = self.host.home / "fleet" / "hydra"
        self._release = trainers.release(self.deploy_dir)
        self._count = 0

    def prepare(self, behaviour: str, *, nproc: int = 1, grace: float = 2) -> Run:
        """A launch request for a trainer of this behaviour, as a file."""
        self._count += 1
        run, token = str(RunId.draw(f"measured-{self._count}")), f"token-{random.randrange(1 << 60):015x}"
        argv = ["trainer.py", behaviour, token]
        request = {
            "schema": 1,
            "run": run,
            "name": "measured",
            "attempt": 1,
            "deploy_dir": "~/fleet/hydra",
            "release": self._release,
            "environment": None,
            "python": "/usr/bin/python3",
            "argv": argv,
            "resume_argv": argv,
            "env": {},
            "secrets": None,
            "gpus": [],
            "nproc": nproc,
            "max_restarts": 0,
            "grace": grace,
            "confirm_seconds": 1,
            "resume": False,
            "record": {},
            "group": None,
        }
        file = self.project / f"request-{self._count}.json"
        file.write_text(json.dumps(request))
        return Run(run, token, self.deploy_dir / "runs" / run, file)

    def controller(self, run: Run) -> subprocess.Popen[str]:
        """A process that starts the run, not waited for."""
        command = [sys.executable, "-m", "tests.perf.starting", str(self.project), self.host.name, str(run.request)]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def call(self, command: str, request: dict[str, Any], seconds: float = 120) -> dict[str, Any]:
        """Ask the host's agent over a connection of its own."""
        with opened(self.project) as session:
            deadline = Deadline.after(seconds)
            return session.agent(self.host.name, deadline).call(command, request, deadline=deadline)

    def start(self, run: Run) -> dict[str, Any]:
        """Start a run and wait until it is confirmed."""
        return self.call("start", json.loads(run.request.read_text()))

    def left(self, run: Run) -> list[Process]:
        """Every process of a run: by its environment, its token, or its id in the arguments of its supervisor."""
        return [
            one
            for one in everybody()
            if one.environ().get("FLEET_RUN_ID") == run.id or {run.token, run.id} & set(one.argv())
        ]

    def supervisors(self, run: Run) -> list[int]:
        """Pids of live processes that hold the run's lock, as the kernel knows them."""
        return supervisors(run.path)

    def clear(self, run: Run) -> None:
        """Kill whatever a measurement left, so that the next one starts clean."""
        holders = [found for pid in self.supervisors(run) if (found := process(pid)) is not None]
        end_all([*holders, *self.left(run)])


def supervisors(run: Path) -> list[int]:
    """Pids of the processes that hold the supervisor's lock of a run directory."""
    lock = run / "supervisor.lock"
    inode = lock.stat().st_ino if lock.exists() else None
    return [pid for pid, held in locks() if held == inode]


def everybody() -> list[Process]:
    """All live processes of this machine that have a command line."""
    found = [process(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [one for one in found if one is not None and one.alive() and one.argv()]


def locks() -> list[tuple[int, int]]:
    """(pid, inode) of every exclusive flock of this machine. A shared one is held for a moment by whoever looks."""
    found = []
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[3] == "WRITE":
            found.append((int(fields[4]), int(fields[5].split(":")[2])))
    return found


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def code_of(action: Callable[[], object]) -> int:
    """The exit code that an action would end a command with."""
    try:
        action()
    except FleetError as error:
        return error.exit_code
    return 0
