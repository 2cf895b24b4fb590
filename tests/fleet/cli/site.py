"""The project that the tests deploy, its fleet.json, and what they ask of its hosts."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from fleet.remote.states import LIVE
from tests.farm.hosts import FarmHost
from tests.farm.keys import Key
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.fleet.cli.program import MANIFEST, TRAINER
from tests.fleet.commands import Done, Fleet

CANARY = "canary-5f1c2a9be07d"
#: How instances of fleet.json are told apart: those that work, and one for each way not to.
OFFLINE, UNKNOWN, CHANGED, DENIED, HUNG = "offline", "unknown", "changed", "denied", "hung"


class Site:
    """Instances h0 (deployed and set up), h1 (bare), h2 (its nvidia-smi fails), h3 (two GPUs), and broken ones."""

    def __init__(self, root: Path, farm: Farm, proxy: Proxy, nobody: Proxy, python: Path, other: Key) -> None:
        self.root, self.farm, self.proxy, self.other = root, farm, proxy, other
        # Bound and never listening: a port that refuses for as long as this lives, and that nobody else gets.
        self.reserved = socket.socket()
        self.reserved.bind(("127.0.0.1", 0))
        (root / "manifests").mkdir(parents=True)
        (root / "trainer.py").write_text(TRAINER)
        (root / "manifests" / "default.yaml").write_text(MANIFEST)
        (root / "requirements.lock").write_text("# this trainer needs no package\n")
        (root / ".gitignore").write_text("/fleet.json\n/.fleet/\n/runs/\n/.env.local\n")
        (root / ".env.local").write_text(f"WANDB_API_KEY={CANARY}\nOTHER=not allowed\n")
        author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-q", "-m", "begin")):
            subprocess.run(["git", *command], cwd=root, check=True)
        first, second = farm.hosts[0], farm.hosts[1]
        farm.trust(0, proxy.address, proxy.port)
        plain = {"user": second.user, "identity": str(second.identity)}
        self.config = farm.fleet_json(
            root,
            python=str(python),
            secrets={"file": ".env.local", "allow": ["WANDB_API_KEY"]},
            watchdog={"interval": 0.5, "limit": 1.5},
            instances={
                OFFLINE: {"host": "127.0.0.1", "port": self.reserved.getsockname()[1], **plain},
                UNKNOWN: {"host": nobody.address, "port": nobody.port, **plain},
                CHANGED: {"host": second.address, "port": second.port, "host_key": first.host_key},
                DENIED: {"host": second.address, "port": second.port, "identity": str(other.path)},
                HUNG: {"host": proxy.address, "port": proxy.port},
                "kept": {"host": second.address, "port": second.port, "role": "spare"},
            },
            groups={"pair": {"members": ["h0", "h1"]}},
        )
        nobody.target = (second.address, second.port)
        self.fleet = Fleet(self.config)
        self.done = self.failed = ""

    @property
    def host(self) -> FarmHost:
        """h0."""
        return self.farm.hosts[0]

    @property
    def deploy_dir(self) -> Path:
        """Where h0 keeps everything."""
        return self.host.home / "fleet" / "hydra"

    def run(self, run: str) -> Path:
        """The directory of a run on h0."""
        return self.deploy_dir / "runs" / run

    def train(
        self, name: str, notes: str = "", *, steps: int = 5, wait: bool = True, expect: int | None = 0, **sets: Any
    ) -> str:
        """Start a run on h0, and wait for its end unless told otherwise; returns its id."""
        done = self.start("h0", name, notes, steps=steps, expect=None if wait else expect, **sets)
        assert done.code in (0, 8) and (done.code == 0 or (self.deploy_dir / "runs").is_dir()), done
        data = done.json["data"] or {}
        run = data["h0"]["run"] if "h0" in data else self.newest()
        if wait:
            self.wait_end(run)
        return run

    def start(
        self,
        target: str,
        name: str,
        notes: str = "",
        *options: str,
        steps: int = 5,
        expect: int | None = 0,
        **sets: Any,
    ) -> Done:
        """`fleet train` with these notes."""
        given = {"training.steps": steps, **({"notes": f'"{notes}"'} if notes else {}), **sets}
        arguments = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
        return self.fleet("train", target, "--name", name, "--json", *options, "--", *arguments, expect=expect)

    def live(self) -> str:
        """Start a run on h0 that goes on for long, and wait for its first step."""
        run = self.train("live", "pause=0.05", steps=100000, wait=False)
        deadline = time.monotonic() + 20
        while not self.steps(run):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return run

    def newest(self) -> str:
        """The run that was begun last on h0."""
        return max((path.name for path in (self.deploy_dir / "runs").iterdir()), key=lambda name: name[-20:])

    def wait_end(self, run: str, seconds: float = 30) -> dict[str, Any]:
        """Wait for the end of a run of h0; returns its state."""
        deadline = time.monotonic() + seconds
        while True:
            state = json.loads((self.run(run) / "state.json").read_text())
            if state["state"] not in LIVE:
                return state
            assert time.monotonic() < deadline, state
            time.sleep(0.02)

    def steps(self, run: str) -> int:
        """How many steps a run of h0 has trained."""
        metrics = self.run(run) / "metrics.jsonl"
        return len(metrics.read_text().splitlines()) if metrics.exists() else 0

    def end_runs(self) -> None:
        """Stop whatever runs are alive, also those that wait for another attempt, and remove all but the two that every
        test may look at.
        """
        for host in self.farm.hosts:
            states = (json.loads(path.read_text())["state"] for path in host.home.glob("fleet/*/runs/*/state.json"))
            if any(state in LIVE for state in states):
                self.fleet("stop", host.name, "--all-runs", "--kill", "--yes", expect=None)
            for place in host.home.glob("fleet/*/runs/*"):
                if self.failed and place.name not in (self.done, self.failed):
                    shutil.rmtree(place)

    def remove(self, run: str) -> None:
        """Remove a run of h0."""
        shutil.rmtree(self.run(run))
