"""Hosts for tests of environments: this machine under another home, with a package index of a few files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from fleet.environment import Ready, setup
from fleet.ssh import Cmd, Deadline, Result, Sink
from tests.farm.local import LocalOutput, LocalTransport
from tests.fleet.environment.index import pip_settings

DEPLOY = "~/fleet"


class CountingTransport(LocalTransport):
    """Counts the commands, each of which is a round trip."""

    trips = 0

    def exec(self, cmd: Cmd, *, stdin: bytes = b"", deadline: Deadline, sink: Sink | None = None) -> Result:
        self.trips += 1
        return super().exec(cmd, stdin=stdin, deadline=deadline, sink=sink)

    def stream_out(self, cmd: Cmd, *, deadline: Deadline) -> LocalOutput:
        self.trips += 1
        return super().stream_out(cmd, deadline=deadline)


@dataclass
class Host:
    """A host with a deploy_dir, and shorthands for what every test does there."""

    transport: LocalTransport
    python: Path
    said: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The deploy_dir."""
        return self.transport.home / "fleet"

    def release(self, name: str = "r1", **files: str) -> None:
        """Put files into a release; `constraints_txt` means constraints.txt."""
        folder = self.root / "releases" / name
        folder.mkdir(parents=True, exist_ok=True)
        for key, text in files.items():
            file, _, suffix = key.rpartition("_")
            (folder / f"{file}.{suffix}").write_text(text)

    def setup(self, release: str = "r1", *, seconds: float = 60, **options) -> Ready:
        """Set the host up on its interpreter with a torch, unless another one is named."""
        chosen = {"python": str(self.python), **options}
        limit = Deadline.after(seconds)
        return setup(self.transport, DEPLOY, release, **chosen, deadline=limit, on_progress=self.said.append)

    def run(self, ready: Ready, code: str) -> str:
        """What code prints in an environment, started as a run is: from the release."""
        cmd = Cmd((str(self.root / ready.python), "-c", code), str(self.root / "releases" / "r1"))
        result = self.transport.exec(cmd, deadline=Deadline.after(30))
        assert result.ok, result.err.decode()
        return result.out.decode().strip()

    def log(self, ready_or_id: Ready | str) -> str:
        """The build log of an environment."""
        name = ready_or_id if isinstance(ready_or_id, str) else ready_or_id.environment
        return (self.root / "envs" / f"{name}.log").read_text()

    def environments(self) -> list[str]:
        """Ids of all folders of environments, complete or not."""
        envs = self.root / "envs"
        names = os.listdir(envs) if envs.exists() else []
        return sorted(name for name in names if (envs / name).is_dir() and not name.startswith("."))


def make_host(home: Path, wheels: Path, python: Path, kind: type[LocalTransport] = CountingTransport) -> Host:
    """A host whose login finds no other index than the wheels."""
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text(pip_settings(wheels))
    return Host(kind(home), python)
