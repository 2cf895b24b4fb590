"""What a supervisor asks of a group, and how it obeys: start together, report, end, restart together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hydra.runs import read_events
from tests.farm.processes import end_all, process
from tests.fleet.remote.hosts import Host, wait_for

#: A supervisor whose group speaks through files of one folder.
PROGRAM = """
import json, os, sys
from fleet.remote.group import AskedElsewhere, Go, Order as GroupOrder
from fleet.remote.launch import Launch
from fleet.remote.pinning import pin
from fleet.remote.places import DeployDir
from fleet.remote.preparation import Order, prepared, supervise
from fleet.remote.reporter import Reporter

folder, request = sys.argv[1], json.loads(sys.argv[2])

def take(name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    text = open(path).read()
    os.rename(path, path + ".taken")
    return json.loads(text)

def put(name, value):
    path = os.path.join(folder, name)
    open(path + ".new", "w").write(json.dumps(value))
    os.rename(path + ".new", path)

class FileGroup:
    beats = 0
    def ready(self, attempt, step):
        put("ready-%d" % attempt, step)
    def wait_start(self):
        found = take("go")
        return None if found is None else Go(**found)
    def beat(self):
        self.beats += 1
    def report_end(self, state):
        put("end", state)
    def verdict(self):
        path = os.path.join(folder, "verdict")
        return json.load(open(path)) if os.path.exists(path) else None
    def report_failing(self, report):
        put("failing", report)
    def report_failure(self, report):
        put("failure", report)
    def report_stop(self, stop):
        put("stop", stop.by)
    def halted(self):
        return None
    def asked_elsewhere(self):
        found = take("asked")
        return None if found is None else AskedElsewhere(**found)
    def orders(self):
        found = take("order")
        return None if found is None else GroupOrder(**found)
    def close(self):
        put("closed", self.beats)

launch = Launch.parse(request)
home = DeployDir.at(launch.deploy_dir)
order = Order(launch, home, home.run(launch.run), pin(launch, home), {}, "digest")
given, lock = prepared(order, Reporter(os.open(os.devnull, os.O_WRONLY)))
given.group = FileGroup()
supervise((given, lock))
"""


class Folder:
    """The other side of the file group."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, name: str, **value: Any) -> None:
        self._put(name, value)

    def judge(self, state: str) -> None:
        """Say how the attempt ended, as rank 0 knows; without that a node waits for it for a while."""
        self._put("verdict", state)

    def _put(self, name: str, value: Any) -> None:
        temporary = self._path / f"{name}.new"
        temporary.write_text(json.dumps(value))
        temporary.rename(self._path / name)

    def hear(self, name: str) -> Any:
        path = self._path / name
        wait_for(path.exists, name)
        return json.loads(path.read_text())


@pytest.fixture
def supervised(host: Host, tmp_path: Path) -> Iterator[Callable[..., Folder]]:
    """Starts a run whose supervisor is a child of this process."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, **changes: Any) -> Folder:
        folder = tmp_path / "group"
        folder.mkdir()
        request = json.dumps(host.launch("run-a", *argv, **changes))
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
        command = [sys.executable, "-c", PROGRAM, str(folder), request]
        started.append(subprocess.Popen(command, env=environment))
        return Folder(folder)

    yield start
    host.close()
    for one in started:
        one.wait(30)


def kill_leader(host: Host) -> None:
    leader = host.state("run-a").leader
    assert leader is not None
    found = process(leader.pid)
    assert found is not None
    end_all([found])


def test_nodes_start_and_restart_together_and_end_as_the_lead_says(
    host: Host, supervised: Callable[..., Folder]
) -> None:
    group = supervised("trainer.py", "--every", "5")
    assert group.hear("ready-1") is None
    assert host.state("run-a").state == "starting" and host.state("run-a").leader is None
    group.say("go", step=None)
    host.wait_state("run-a", "running")
    host.wait_step("run-a", 17)
    kill_leader(host)
    failure = group.hear("failure")
    assert failure["state"] == "killed" and failure["exit"]["signal"] == 9 and failure["step"] >= 17
    assert failure["lines"][-1].startswith("step")
    assert not (host.directory("run-a").path / "state.json").read_text().count("backoff"), "the lead decides"
    group.say("order", action="restart", reason="h2 lost a rank", wait=0.05)
    assert group.hear("ready-2") >= 15
    assert host.state("run-a").state == "starting" and host.state("run-a").attempt == 2
    group.say("go", step=10)
    host.wait_state("run-a", "running")
    resumed = wait_for(lambda: _resumes(host), "a resume")
    assert resumed == [10], "the newest step that is good on every node"
    host.wait_step("run-a", 12)
    culprit = {"rank": 9, "node": 1, "exception": "DeviceMemoryError", "message": "full"}
    exit = {"code": 5, "kind": "gpu", "signal": None, "culprit": culprit, "retry": True}
    group.say("order", action="stop", reason="rank 9 of h2 failed", state="oom", exit=exit)
    state = host.wait_state("run-a")
    assert state.state == "oom" and state.exit is not None and state.exit.to_json() == exit
    assert host.events("run-a")[-1][0] == "run.stopped", "the trainer here was asked to end, and saved"
    assert group.hear("closed") > 10


def test_an_order_to_restart_ends_a_healthy_attempt_gracefully(host: Host, supervised: Callable[..., Folder]) -> None:
    group = supervised("trainer.py", "--every", "1000000")
    group.say("go", step=None)
    group.hear("ready-1")
    host.wait_step("run-a", 3)
    group.say("order", action="restart", reason="rank 9 of h2 failed", wait=0.05)
    saved = group.hear("ready-2")
    assert saved >= 3, "it saved before it ended"
    group.say("go", step=saved)
    host.wait_state("run-a", "running")
    group.judge("stopped")
    assert host.stop("run-a")["state"] == "stopped"


def test_absent_nodes_end_the_run_with_their_names(host: Host, supervised: Callable[..., Folder]) -> None:
    group = supervised("trainer.py")
    group.hear("ready-1")
    culprit = {"rank": 2, "node": 2, "exception": "NotReady", "message": "h2 is missing"}
    exit = {"code": None, "kind": "NotReady", "signal": None, "culprit": culprit, "retry": True}
    group.say("order", action="stop", reason="h2 is missing", state="failed", exit=exit)
    state = host.wait_state("run-a")
    assert state.state == "failed" and state.exit is not None and state.exit.to_json() == exit
    assert "h2 is missing" in host.frames("run-a")[-2].text


def test_an_order_ends_a_node_that_waits_for_its_restart(host: Host, supervised: Callable[..., Folder]) -> None:
    group = supervised("trainer.py")
    group.say("go", step=None)
    group.hear("ready-1")
    host.wait_step("run-a", 3)
    kill_leader(host)
    group.hear("failure")
    group.say("order", action="restart", reason="rank 0 of h1 failed", wait=60)
    host.wait_state("run-a", "backoff")
    exit = {"code": None, "kind": "NodeLost", "signal": None, "culprit": None, "retry": True}
    group.say("order", action="stop", reason="h2 is gone", state="failed", exit=exit)
    state = host.wait_state("run-a")
    assert state.state == "failed" and state.exit is not None and state.exit.to_json() == exit


def test_a_stop_asked_on_another_node_is_a_stop_here(host: Host, supervised: Callable[..., Folder]) -> None:
    group = supervised("trainer.py", "--every", "1000000")
    group.say("go", step=None)
    group.hear("ready-1")
    host.wait_step("run-a", 3)
    group.say("asked", by="h2", grace=20.0, kill=False)
    assert group.hear("end") == "stopped" and group.hear("stop") == "fleet stop on h2"
    state = host.wait_state("run-a")
    assert state.state == "stopped" and state.last_verified_checkpoint is not None


def test_a_resume_from_a_step_is_not_overruled_by_a_newer_one(host: Host, supervised: Callable[..., Folder]) -> None:
    host.start("run-a", "trainer.py", "--every", "5", "--steps", "20")
    assert host.wait_state("run-a").state == "completed"
    resume = ["trainer.py", "--resume", "{run_dir}@10", "--every", "5", "--steps", "30"]
    group = supervised("trainer.py", resume=True, attempt=2, resume_argv=resume)
    assert group.hear("ready-2") == 10, "the lead starts all from the step that is told here"
    group.say("go", step=10)
    assert wait_for(lambda: _resumes(host), "a resume") == [10]
    group.judge("stopped")
    host.stop("run-a")


def test_a_user_can_stop_a_node_that_waits(host: Host, supervised: Callable[..., Folder]) -> None:
    group = supervised("trainer.py")
    group.hear("ready-1")
    assert host.stop("run-a")["state"] == "stopped"
    assert not host.processes("run-a")


def _resumes(host: Host) -> list[int]:
    events = read_events(host.directory("run-a").events).events
    return [event.data["step"] for event in events if event.kind == "run.resumed"]
