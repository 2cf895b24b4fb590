"""A host with one run on it, reached through a real shell and the real agent."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet.agent import Agent
from fleet.download import Downloaded, download
from fleet.ssh import Deadline, Transport
from tests.farm.local import LocalTransport

RUN = "small-lm-20260131-235959-k3qz"
DEPLOY = "~/fleet/hydra"


def content(seed: int, size: int) -> bytes:
    """Bytes that no range of another file equals."""
    return random.Random(seed).randbytes(size)


def save_checkpoint(
    run: Path, step: int, *, serial: int, metric: float | None = None, size: int = 300_000, attempt: int = 1
) -> Path:
    """A complete checkpoint as the trainer leaves it, COMPLETE.json last."""
    folder = run / "checkpoints" / f"step-{step}"
    (folder / "tokenizer").mkdir(parents=True)
    files = {
        "layout.json": b"{}",
        "train.json": b'{"step": %d}' % step,
        "shard-00000.safetensors": content(step, size),
        "tokenizer/tokenizer.json": b"[]",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    listed = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    numbers = {"attempt": attempt, "step": step, "serial": serial, "metric": metric}
    record = {"schema": 1, "run": run.name, **numbers, "files": listed}
    (folder / "COMPLETE.json").write_text(json.dumps(record))
    return folder


@dataclass
class Host:
    """A host's home, and how to reach it."""

    home: Path
    transport: LocalTransport

    @property
    def runs(self) -> Path:
        """Where its runs are."""
        return self.home / "fleet" / "hydra" / "runs"

    @property
    def run(self) -> Path:
        """The directory of its run."""
        return self.runs / RUN

    def ask(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        """Call the agent there."""
        return Agent(self.transport, DEPLOY).call(command, request, deadline=Deadline.after(30))

    def download(self, to: Path, transport: Transport | None = None, **options: Any) -> Downloaded:
        """Download its run, by default without faults."""
        options = {"run": RUN, "deadline": Deadline.after(60), **options}
        used = transport or self.transport
        return download(lambda: used, options.pop("ask", self.ask), DEPLOY, options.pop("run"), to, **options)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with a run of three checkpoints, of which step 200 is the newest and step 100 the best."""
    home = tmp_path / "home"
    run = home / "fleet" / "hydra" / "runs" / RUN
    (run / "log").mkdir(parents=True)
    (run / "control").mkdir()
    (run / "control" / "stop.json").write_text("{}")
    (run / "lock").touch()
    (run / ".state.json.17-abcd.tmp").touch()
    (run / "state.json").write_text('{"state": "running"}')
    (run / "manifest.yaml").write_text("name: small-lm\n")
    (run / "metrics.jsonl").write_bytes(b'{"step": 1}\n' * 2000)
    (run / "empty.txt").touch()
    (run / "log" / "00000000000000000000.seg").write_bytes(content(7, 100_000))
    save_checkpoint(run, 50, serial=1)
    save_checkpoint(run, 100, serial=2, metric=1.5)
    save_checkpoint(run, 200, serial=3, metric=1.75)
    (run / "checkpoints" / "latest").write_text("step-200\n")
    (run / "checkpoints" / "best").write_text("step-100\n")
    return Host(home, LocalTransport(home))


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """What a folder holds: path -> bytes."""
    return lambda root: {
        path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }
