"""Several hosts of this machine, each with a deploy_dir and an address of its own, and one run on all of them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.runs import State
from tests.farm.processes import Process, carrying
from tests.fleet.cluster.launches import free_port, group_fields, network
from tests.fleet.cluster.programs import RELEASE
from tests.fleet.remote.hosts import Host, wait_for

RUN = "run-a"


class Cluster:
    """The hosts, and the supervisors of the run. `changes` are fields of every launch request."""

    def __init__(self, folder: Path, agent: Path, nodes: int, **changes: Any) -> None:
        prefix = network()
        self.addresses = [f"{prefix}.{node + 1}" for node in range(nodes)]
        self.lead_port, self.master_port = free_port(self.addresses[0]), free_port(self.addresses[0])
        self.hosts = [Host(folder / f"h{node}", agent) for node in range(nodes)]
        self._changes = changes
        for host in self.hosts:
            for path in RELEASE:
                (host.deploy_dir / "releases" / "group" / path).parent.mkdir(parents=True, exist_ok=True)
                (host.deploy_dir / "releases" / "group" / path).write_text(RELEASE[path])

    def request(self, node: int, *argv: str, **changes: Any) -> dict[str, Any]:
        """What the supervisor of a node is asked to start."""
        group = group_fields(node, self.addresses, self.lead_port, self.master_port)
        given = {"confirm_seconds": 1, "waits": [0.2], "grace": 20, **self._changes, **changes}
        return self.hosts[node].launch(RUN, "trainer.py", *argv, release="group", group=group, **given)

    def begin(self, *argv: str, only: Sequence[int] | None = None, **changes: Any) -> list[subprocess.Popen[bytes]]:
        """Ask the nodes, or some of them, to start; not waited for."""
        nodes = range(len(self.hosts)) if only is None else only
        return [self.hosts[node].process("start", self.request(node, *argv, **changes)) for node in nodes]

    def start(self, *argv: str, **changes: Any) -> list[dict[str, Any]]:
        """Start the run on all nodes; their answers."""
        answers = [Host.outcome(started) for started in self.begin(*argv, **changes)]
        assert all(status == 0 for status, _ in answers), answers
        return [answer for _, answer in answers]

    def states(self, *wanted: str) -> list[State]:
        """The written states of all nodes once they are among these; by default once all have ended."""
        return [host.wait_state(RUN, *wanted) for host in self.hosts]

    def wait_step(self, step: int) -> None:
        """Wait until rank 0 has come so far."""
        self.hosts[0].wait_step(RUN, step)

    def processes(self, node: int) -> list[Process]:
        """What lives of the run on a node, its supervisor not counted."""
        return carrying({"FLEET_RUN_DIR": str(self.hosts[node].directory(RUN).path)})

    def rank(self, rank: int, node: int) -> Process:
        """A living rank of a node."""
        found: list[Process] = wait_for(
            lambda: [one for one in self.processes(node) if one.environ().get("RANK") == str(rank)], f"rank {rank}"
        )
        return found[0]

    def all_gone(self, seconds: float) -> float:
        """Wait until nothing of the run but its supervisors lives on any node; returns how long that took."""
        began = time.monotonic()
        wait_for(lambda: not any(self.processes(node) for node in range(len(self.hosts))), "all to stop", seconds)
        return time.monotonic() - began

    def lines(self, node: int) -> list[str]:
        """The text of the log of a node."""
        return [frame.text for frame in self.hosts[node].frames(RUN)]

    def close(self) -> None:
        """End everything that is left."""
        for host in self.hosts:
            host.close()
