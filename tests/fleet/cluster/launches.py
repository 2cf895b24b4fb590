"""Launch requests of a group as its supervisors get them, and what ranks report."""

from __future__ import annotations

import random
import socket
from typing import Any

from fleet.remote.launch import Launch
from fleet.remote.states import culprit_field, exit_field

TOKEN = "5e" * 32
RUN = "pair-20260131-235959-k3qz"
#: Seconds after which a member counts as gone.
SILENCE = 0.6


def network() -> str:
    """The first three numbers of loopback addresses that no other test has, with near certainty."""
    draw = random.SystemRandom().randrange
    return f"127.{draw(1, 255)}.{draw(0, 256)}"


def free_port(address: str) -> int:
    """A port of an address that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def group_fields(
    node: int, addresses: list[str], lead_port: int, master_port: int = 29500, token: str = TOKEN
) -> dict[str, Any]:
    """The part of a request that only groups have."""
    return {
        "node_rank": node,
        "nodes": [{"name": f"h{rank}", "address": address} for rank, address in enumerate(addresses)],
        "master_address": addresses[0],
        "master_port": master_port,
        "lead_port": lead_port,
        "token": token,
        "interface": None,
    }


def launch(node: int, addresses: list[str], port: int, *, token: str = TOKEN, **changes: Any) -> Launch:
    """A checked request for one node."""
    return Launch.parse(
        {
            "schema": 1,
            "run": RUN,
            "name": "pair",
            "deploy_dir": "~/fleet/x",
            "release": None,
            "environment": None,
            "python": "/usr/bin/python3",
            "argv": ["trainer.py"],
            "resume_argv": ["trainer.py", "--resume", "{run_dir}"],
            "max_restarts": 3,
            "waits": [0.1],
            "group": group_fields(node, addresses, port, token=token),
            **changes,
        }
    )


def failure(
    code: int | None = 5,
    *,
    rank: int = 1,
    node: int = 1,
    step: int = 4,
    retry: bool = True,
    kind: str | None = "DeviceMemoryError",
    signal: int | None = None,
) -> dict[str, Any]:
    """The report of an attempt that failed on a node."""
    culprit = culprit_field(rank, node=node, exception=kind, message="it failed" if kind else "")
    exit = exit_field(code, culprit=culprit, retry=retry, signal=signal)
    return {"state": "failed" if signal is None else "killed", "exit": exit, "step": step, "lines": ["a last line"]}
