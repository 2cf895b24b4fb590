"""Stopping: what the trainer saved is proved, and nothing of the run is left, whatever it does against it."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable

import pytest

from fleet.remote import stop
from fleet.remote.places import RunFiles
from fleet.remote.states import read_state
from tests.farm.processes import carrying, descendants, end_all
from tests.fleet.remote.hosts import Host, read_only, wait_for, without_control_groups
from tests.fleet.remote.programs import CONTRACT

#: Repetitions of the matrix of trainers that resist; the nightly table has 50.
ROUNDS = 1


def test_a_stop_proves_the_checkpoint_that_the_trainer_saved(host: Host) -> None:
    host.start("run-a", "trainer.py", "--every", "1000000")
    host.wait_step("run-a", 5)
    answer = host.stop("run-a", grace=20)
    saved = answer["checkpoint"]
    assert answer["state"] == "stopped"
    assert saved["verified"] and not saved["quick"] and saved["step"] >= 5
    assert answer["proven"] and answer["steps_lost"] == 0 and not answer["survivors"] and not answer["already"]
    state = host.state("run-a")
    assert state.last_verified_checkpoint is not None and state.last_verified_checkpoint.step == saved["step"]
    assert state.exit is not None and (state.exit.code, state.exit.kind) == (0, "requested")
    assert json.loads(host.frames("run-a")[-1].content())["state"] == "stopped"
    assert host.events("run-a")[-1][0] == "run.stopped"
    assert not host.processes("run-a")


@pytest.mark.parametrize("kill", [False, True])
def test_a_stop_that_cannot_write(host: Host, kill: bool) -> None:
    """As on a full disk: the supervisor is asked by a signal, and what was saved is told all the same."""
    host.start("run-a", "trainer.py", "--every", "1000000")
    host.wait_step("run-a", 5)
    request = {"deploy_dir": str(host.deploy_dir), "run": "run-a", "grace": 20, "kill": kill}
    limited = host.process("stop", request, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    status, answer = host.outcome(limited)
    assert status == 0 and not host.processes("run-a")
    if kill:
        assert (answer["state"], answer["proven"], answer["checkpoint"]) == ("lost", False, None)
        assert answer["steps_lost"] >= 5 and "File too large" in answer["notes"][-1]
        assert host.row("run-a")["state"] == "lost"
        return
    assert (answer["state"], answer["already"], answer["proven"]) == ("stopped", False, True)
    assert answer["checkpoint"]["step"] >= 5


@pytest.mark.parametrize("kill", [False, True])
def test_a_stop_on_a_disk_that_became_read_only(host: Host, kill: bool) -> None:
    host.start("run-a", "deaf.py")
    host.kill_supervisor("run-a")
    host.before = read_only(host.deploy_dir)
    answer = host.stop("run-a", kill=kill)
    assert not host.processes("run-a") and answer["survivors"] == []
    assert (answer["state"], answer["steps_lost"], answer["proven"]) == ("lost", 2, False)
    assert answer["checkpoint"]["step"] == 5 and "Read-only file system" in answer["notes"][-1]


def test_an_ended_run_is_told_as_it_ended(host: Host) -> None:
    host.start("run-a", "trainer.py", "--steps", "3", "--every", "3")
    host.wait_state("run-a", "completed")
    answer = host.stop("run-a")
    assert answer["already"] and answer["state"] == "completed" and answer["checkpoint"]["step"] == 3


@pytest.mark.parametrize(
    ("program", "kill", "grouped"),
    [("deaf.py", False, True), ("deaf.py", True, False), ("launcher.py", False, False), ("launcher.py", True, True)],
)
@pytest.mark.parametrize("trial", range(ROUNDS))
def test_nothing_survives_that_resists(
    hosts: Callable[..., Host], program: str, kill: bool, grouped: bool, trial: int
) -> None:
    """TERM ignored, a daemon without environment, sessions of their own: all gone, and the lost steps are counted.

    With a control group, where this user may make one, and without.
    """
    host = hosts(before=() if grouped else without_control_groups())
    host.start("run-a", program)
    assert grouped or json.loads((host.directory("run-a").path / "launch.json").read_text())["control_group"] is None
    supervisor = host.supervisor("run-a")
    family = wait_for(lambda: _at_least(descendants(supervisor.pid), 3), "the trainer's children")
    answer = host.stop("run-a", grace=0.5, kill=kill)
    assert answer["state"] == "stopped" and answer["survivors"] == []
    assert not [process for process in family if process.alive()]
    if program == "deaf.py":
        assert answer["checkpoint"] == {"step": 5, "verified": True, "quick": False}
        assert answer["steps_lost"] == 2 and not answer["proven"]
    else:
        assert answer["checkpoint"] is None and answer["steps_lost"] == 0
    kinds = [kind for kind, _ in host.events("run-a")]
    assert kinds[-1] == "run.stopped"


def test_a_launcher_killed_by_nine_leaves_no_workers(host: Host) -> None:
    host.start("run-a", "launcher.py", max_restarts=0)
    leader = host.state("run-a").leader
    assert leader is not None
    workers = wait_for(lambda: _at_least(descendants(leader.pid), 2), "two workers")
    end_all([process for process in descendants(host.supervisor("run-a").pid) if process.pid == leader.pid])
    state = host.wait_state("run-a")
    assert state.state == "killed" and state.exit is not None and state.exit.signal == 9
    assert not [worker for worker in workers if worker.alive()]


@pytest.mark.parametrize("program", ["trainer.py", "deaf.py"])
def test_a_stop_without_supervisor_ends_what_it_left(host: Host, program: str) -> None:
    host.start("run-a", program)
    wait_for(lambda: host.frames("run-a"), "output")
    host.kill_supervisor("run-a")
    # The plain trainer may end by itself, because nobody takes its output any more.
    assert program == "trainer.py" or host.processes("run-a")
    answer = host.stop("run-a")
    assert answer["state"] == "lost" and not answer["survivors"]
    assert not host.processes("run-a")
    assert host.state("run-a").state == "lost"
    end_all(process for process in carrying({}) if "deaf-daemon" in process.argv())


def test_a_stop_of_a_lost_run_counts_what_is_lost_however_it_was_found(host: Host) -> None:
    host.start("run-a", "deaf.py")
    supervisor = host.supervisor("run-a")
    wait_for(lambda: _at_least(descendants(supervisor.pid), 3), "the trainer's children")
    host.kill_supervisor("run-a")
    assert host.row("run-a")["state"] == "lost", "whoever looks first writes it down"
    answer = host.stop("run-a")
    assert answer["checkpoint"] == {"step": 5, "verified": True, "quick": False}
    assert answer["steps_lost"] == 2 and not answer["proven"]
    end_all(process for process in carrying({}) if "deaf-daemon" in process.argv())


def test_a_second_request_can_only_be_more_urgent(host: Host) -> None:
    host.start("run-a", "deaf.py")
    patient = host.process("stop", {"deploy_dir": str(host.deploy_dir), "run": "run-a", "grace": 600})
    host.wait_state("run-a", "stopping")
    assert host.stop("run-a", grace=600, kill=True)["state"] == "stopped"
    status, answer = host.outcome(patient)
    assert status == 0 and answer["state"] == "stopped" and answer["steps_lost"] == 2


def test_a_request_to_a_dead_supervisor_does_not_stop_the_next(host: Host) -> None:
    host.start("run-a")
    host.kill_supervisor("run-a")
    directory = host.directory("run-a")
    (directory.control / "fleet.stop.json").write_text('{"grace": 1, "kill": true}')
    host.start("run-a", resume=True, attempt=2)
    host.wait_step("run-a", 1)
    assert host.state("run-a").state == "running"
    assert (directory.control / "fleet.stop.stale.json").exists()


def test_a_supervisor_that_was_told_to_end_stops_its_run(host: Host) -> None:
    """A machine that shuts down sends TERM to everything."""
    host.start("run-a")
    host.wait_step("run-a", 2)
    host.supervisor("run-a").end(15)
    state = host.wait_state("run-a")
    assert state.state == "stopped" and state.last_verified_checkpoint is not None


def test_a_supervisor_that_does_not_answer_is_named_and_can_be_ended(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "PATIENCE", 0.3)
    host.start("run-a")
    host.supervisor("run-a").end(signal.SIGSTOP)
    request = {"deploy_dir": str(host.deploy_dir), "run": "run-a"}
    answer, status = stop.main(request)
    assert status == 1 and answer["error"]["kind"] == "stop-incomplete"
    assert answer["error"]["what"] == "the supervisor of run run-a does not answer"
    answer, status = stop.main({**request, "kill": True})
    assert status == 0 and answer["state"] == "lost" and not answer["survivors"]
    assert not host.processes("run-a")


def test_what_a_good_end_leaves_may_finish(host: Host) -> None:
    """An uploader that outlives the trainer for a moment is waited for, and not longer than some seconds."""
    late = "import time; time.sleep(0.5); open('late', 'w').close()"
    text = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {late!r}], cwd=RUN)\n"
    host.release("late", {"trainer.py": CONTRACT + text + "event('run.completed', 1, step=1)\n"})
    host.start("run-a", release="late")
    assert host.wait_state("run-a").state == "completed"
    assert (host.directory("run-a").path / "late").exists()


def _at_least(found: list, count: int) -> list:
    return found if len(found) >= count else []


def test_a_kill_does_not_wait_for_a_supervisor_that_waits_for_the_disk(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has ended, and its end cannot be written: the supervisor would try for five minutes."""
    monkeypatch.setattr(stop, "PATIENCE", 0.3)
    host.start("run-a", "trainer.py", "--every", "1000000")
    host.wait_step("run-a", 3)
    files = RunFiles(str(host.directory("run-a").path))
    supervisor = host.supervisor("run-a").pid
    # Room for the request and for nothing that the supervisor writes; and none for what this process tries.
    resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    monkeypatch.setattr(stop, "write_json", lambda *_: os.stat("/dev/null/full"))
    before = time.monotonic()
    answer, status = stop.main({"deploy_dir": str(host.deploy_dir), "run": "run-a", "kill": True})
    assert time.monotonic() - before < 20
    assert status == 0 and answer["state"] == "lost" and not host.processes("run-a")
    assert read_state(files.state)["state"] == "lost", "this process had room"
