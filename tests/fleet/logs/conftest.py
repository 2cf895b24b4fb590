"""A run on a host, its log written by the supervisor's own code, read through a real shell."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fleet.agent import Agent
from fleet.logs import Last, Line, Record, RunState, follow, last_lines
from fleet.remote import segments
from fleet.remote.logs import Log
from fleet.remote.redact import Redactor
from fleet.ssh import Deadline, Transport
from tests.farm.local import LocalTransport
from tests.farm.proxy import Proxy

ROOT = Path(__file__).resolve().parents[3]
RUN = "small-lm-20260131-235959-k3qz"
DEPLOY = "~/fleet/hydra"


@dataclass
class Host:
    """A host with one run, whose log a test writes."""

    home: Path
    transport: Transport
    asked: list[str] = field(default_factory=list)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    state: RunState | None = field(default_factory=lambda: RunState("running"))
    proxy: Proxy | None = None

    @property
    def run(self) -> Path:
        """The run's directory."""
        return self.home / "fleet" / "hydra" / "runs" / RUN

    def log(self, monkeypatch: pytest.MonkeyPatch | None = None, segment_bytes: int = 0) -> Log:
        """The log, open as a supervisor has it; with a segment size of the test's."""
        if monkeypatch is not None:
            monkeypatch.setattr(segments, "SEGMENT_BYTES", segment_bytes)
        (self.run / "log").mkdir(parents=True, exist_ok=True)
        log = Log(str(self.run / "log"), Redactor([]))
        log.begin()
        return log

    def write_in_process(self, lines: int, segment_bytes: int = 1 << 20, pause: float = 0.0) -> subprocess.Popen[bytes]:
        """Start the numbered writer."""
        arguments = [str(self.run), str(lines), str(segment_bytes), str(pause)]
        process = subprocess.Popen([sys.executable, "-m", "tests.fleet.logs.writer", *arguments], cwd=ROOT)
        self.started.append(process)
        return process

    def written_state(self) -> RunState | None:
        """The run's state as its writer left it on the disk."""
        path = self.run / "state.json"
        if not path.exists():
            return RunState("starting")
        record = json.loads(path.read_text())
        return RunState(record["state"], record.get("exit"))

    def state_of(self) -> RunState | None:
        """The run's state as the test set it."""
        self.asked.append("state")
        return self.state

    def ask(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        """Call the agent."""
        return Agent(self.transport, DEPLOY).call(command, request, deadline=Deadline.after(30))

    def last(self, count: int, **options: Any) -> Last:
        """The last lines of the log."""
        return last_lines(self.ask, DEPLOY, RUN, count, **options)

    def follow(self, cursor: int = 0, **options: Any) -> Iterator[Record]:
        """Follow the log, by default with little patience for silence."""
        transport = options.pop("transport", self.transport)
        given = {"state_of": self.state_of, "stop": threading.Event(), "deadline": Deadline.after(60), "quiet": 0.1}
        return follow(lambda: transport, f"{DEPLOY}/runs/{RUN}", cursor=cursor, **{**given, **options})


def lines_of(records: list[Record]) -> list[Line]:
    """The lines that the run wrote, without the frames of the log's own."""
    return [record for record in records if isinstance(record, Line) and record.frame.flags in "-c"]


def texts(records: list[Record]) -> list[bytes]:
    """What these lines say."""
    return [line.frame.content() for line in lines_of(records)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host whose run is alive and has written nothing."""
    home = tmp_path / "home"
    made = Host(home, LocalTransport(home))
    made.run.mkdir(parents=True)
    yield made
    for process in made.started:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts are the back-off's own test; here they would only take time."""
    monkeypatch.setattr("fleet.ssh.backoff.Backoff.next", lambda self: 0.001)
    monkeypatch.setattr("fleet.logs.follower._SOON", 0.05)
