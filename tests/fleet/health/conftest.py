"""Hosts for the tests of health: a real shell with a home of its own, tools by choice, runs with real locks."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fleet.health import HostReport, probe
from fleet.ssh import Deadline
from hydra.runs import State, boot_id, encode, encode_document, machine_id
from tests.farm.local import LocalTransport

DEPLOY_DIR = "~/fleet/hydra"
SYSTEM = "/usr/bin:/bin"
#: Programs that the probes call, and those that preflight looks for.
USED = (
    *("sh", "cat", "date", "df", "dmesg", "flock", "grep", "id", "sed", "sha256sum", "sleep", "stat", "tail", "tr"),
    *("uname", "tar", "setsid", "timeout", "head", "python3"),
)
LIVE_ID = "small-lm-20260131-235959-k3qz"


class Host:
    """One host: its home, its deploy_dir, and looking at it."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.home, self._stack = home, stack
        self.root = home / "fleet" / "hydra"
        self.tools = home.parent / "tools"
        self.path = f"{self.tools}:{SYSTEM}"

    @property
    def transport(self) -> LocalTransport:
        """A connection with the present PATH."""
        return LocalTransport(self.home, path=self.path)

    def look(self, **options: Any) -> HostReport:
        """Probe it."""
        return probe(self.transport, DEPLOY_DIR, deadline=Deadline.after(30), **options)

    def lacks(self, *missing: str) -> None:
        """Leave it with the few tools that probes use, but for the missing ones."""
        few = self.home.parent / "few"
        few.mkdir()
        for name in set(USED) - set(missing):
            found = shutil.which(name, path=SYSTEM)
            assert found, f"no {name} on this machine"
            (few / name).symlink_to(found)
        self.path = f"{self.tools}:{few}"

    def deployed(self) -> Path:
        """Make the folders that a deploy makes; returns this machine's own."""
        machine = self.root / "hosts" / machine_id()
        (machine / "locks").mkdir(parents=True)
        return machine

    def run(self, id_: str = LIVE_ID, *, state: str = "running", locked: bool = False, **fields: Any) -> Path:
        """A run directory with state, heartbeat and three lines of metrics. `locked`: somebody holds its lock."""
        folder = self.root / "runs" / id_
        folder.mkdir(parents=True)
        facts: dict[str, Any] = {
            "run": id_,
            "attempt": 2,
            "state": state,
            "since": time.time() - 5,
            "machine_id": machine_id(),
            "boot_id": boot_id(),
            "supervisor": {"pid": 1, "start": 1},
            "gpus": ("GPU-1",),
            "release": "0123456789abcdef",
            "exit": None if state in ("starting", "running", "stopping", "backoff", "lost") else {"code": 0},
        }
        State(**{**facts, **fields}).write(folder / "state.json")
        self.beat(folder)
        rows = [
            {"schema": 1, "attempt": 2, "step": step, "loss": 4.0 - step, "tokens_per_s": 1e5} for step in (1, 2, 3)
        ]
        (folder / "metrics.jsonl").write_bytes(b"".join(encode(row) + b"\n" for row in rows))
        lock = self._stack.enter_context((folder / "supervisor.lock").open("w"))
        if locked:
            fcntl.flock(lock, fcntl.LOCK_EX)
        return folder

    def beat(self, folder: Path, **fields: Any) -> None:
        """Write a heartbeat."""
        facts = {"attempt": 2, "phase": "train", "phase_since": time.time() - 4, "step": 3, "total_steps": 100}
        facts |= {"tokens": 1, "time": time.time(), "last_step_time": time.time(), "median_step_ms": 250.0}
        facts |= {"last_saved_step": None, **fields}
        (folder / "progress.json").write_bytes(encode_document(facts))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host without GPUs on which nothing was deployed."""
    (tmp_path / "home").mkdir()
    with ExitStack() as stack:
        yield Host(tmp_path / "home", stack)


@pytest.fixture
def ids() -> Callable[[HostReport], set[tuple[str, str]]]:
    """The findings of a report as (id, state)."""
    return lambda report: {(finding.id, finding.state) for finding in report.health}
