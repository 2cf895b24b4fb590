"""Restarts: what can be helped is started again from its newest good checkpoint, what cannot is not."""

from __future__ import annotations

import json
import selectors
import signal
import socket
from typing import cast

import pytest

from fleet.remote.launch import Launch
from fleet.remote.places import DeployDir
from fleet.remote.reservations import Reservation, names_of
from hydra.runs import read_events
from tests.farm.processes import end_all, process
from tests.fleet.remote.hosts import Host, wait_for

#: Kills by 9 of one run, each at another step. The target (fleet.md 11.2, 17) is 20.
KILLS = 4


def kill_leader(host: Host, run: str) -> None:
    """Kill the trainer by 9."""
    leader = host.state(run).leader
    assert leader is not None
    found = process(leader.pid)
    assert found is not None
    end_all([found])


def test_every_kill_is_followed_by_a_resume_that_loses_one_interval_at_most(host: Host) -> None:
    host.start("run-a", "trainer.py", "--every", "5", max_restarts=1000)
    for attempt in range(1, KILLS + 1):
        host.wait_step("run-a", 7 * attempt)
        wait_for(lambda wanted=attempt: host.state("run-a").attempt == wanted, f"attempt {attempt}")
        kill_leader(host, "run-a")
        wait_for(lambda wanted=attempt: host.state("run-a").attempt == wanted + 1, f"attempt {attempt + 1}")
        host.wait_state("run-a", "running")
    events = read_events(host.directory("run-a").events).events
    saved: dict[int, int] = {}
    for event in events:
        if event.kind == "checkpoint.saved":
            saved[event.attempt] = max(saved.get(event.attempt, 0), event.data["step"])
    resumed = {event.attempt: event.data["step"] for event in events if event.kind == "run.resumed"}
    assert all(resumed[attempt] == max(saved[a] for a in saved if a < attempt) for attempt in resumed)
    kinds = [event.kind for event in events]
    assert kinds.count("run.restarted") == KILLS and kinds.count("run.failed") == KILLS
    told = [event.data for event in events if event.kind == "run.failed"]
    assert {(facts["state"], facts["signal"], facts["kind"]) for facts in told} == {("killed", 9, "SIGKILL")}
    ends = [json.loads(frame.content())["state"] for frame in host.frames("run-a") if frame.flags == "e"]
    assert ends == ["backoff"] * KILLS
    assert host.stop("run-a")["proven"]
    assert host.state("run-a").restarts_used == KILLS


@pytest.mark.parametrize("code", [2, 10])
def test_what_cannot_be_helped_is_not_started_again(host: Host, code: int) -> None:
    host.start("run-a", "failing.py", "--code", str(code))
    state = host.wait_state("run-a", "failed")
    assert state.exit is not None and state.exit.code == code and not state.exit.retry
    assert state.attempt == 1 and state.restarts_used == 0
    assert [kind for kind, _ in host.events("run-a")] == ["run.started", "checkpoint.saved", "run.failed"]


@pytest.mark.parametrize("code", [5, 7])
def test_what_can_be_helped_is_started_again(host: Host, code: int) -> None:
    host.start("run-a", "failing.py", "--code", str(code), "--once")
    state = host.wait_state("run-a", "completed")
    assert state.attempt == 2 and state.restarts_used == 1
    assert [kind for kind, _ in host.events("run-a")] == [
        "run.started",
        "checkpoint.saved",
        "run.failed",
        "run.restarted",
        "run.resumed",
        "run.completed",
    ]


def test_device_memory_is_told_from_other_failures(host: Host) -> None:
    host.start("run-a", "failing.py", "--code", "5", "--exception", "DeviceMemoryError", max_restarts=0)
    state = host.wait_state("run-a", "oom")
    assert state.exit is not None and (state.exit.kind, state.exit.code, state.exit.retry) == ("gpu", 5, True)
    assert state.exit.culprit is not None and state.exit.culprit.exception == "DeviceMemoryError"
    assert state.exit.culprit.message == "no good"


def test_the_same_error_at_the_same_step_ends_it(host: Host) -> None:
    """It was given one chance; the third try would be the second again."""
    host.start("run-a", "failing.py", "--code", "7", "--at", "0")
    state = host.wait_state("run-a", "failed")
    assert state.attempt == 2 and state.restarts_used == 1
    assert "the same error came twice at step" in (host.directory("run-a").path / "supervisor.log").read_text()


def test_a_bug_is_given_one_restart(host: Host) -> None:
    host.start("run-a", "failing.py", "--code", "1", "--at", "2")
    state = host.wait_state("run-a", "failed")
    assert state.attempt == 2
    assert "a bug is given one restart" in (host.directory("run-a").path / "supervisor.log").read_text()


def test_a_spent_budget_ends_it(host: Host) -> None:
    host.start("run-a", "failing.py", "--code", "7", max_restarts=2)
    state = host.wait_state("run-a", "failed")
    assert state.attempt == 3 and state.restarts_used == 2
    steps = [event.step for event in read_events(host.directory("run-a").events).events if event.kind == "run.failed"]
    assert steps == [1, 2, 3]


def test_a_stop_while_it_waits_ends_it_at_once(host: Host) -> None:
    host.start("run-a", "failing.py", "--code", "7", waits=[600])
    host.wait_state("run-a", "backoff")
    answer = host.stop("run-a")
    assert answer["state"] == "stopped" and answer["exit"]["code"] == 7
    assert [json.loads(frame.content())["state"] for frame in host.frames("run-a") if frame.flags == "e"] == [
        "backoff",
        "stopped",
    ]


def test_a_torn_newest_checkpoint_is_passed_over_and_kept(host: Host) -> None:
    host.start("run-a", "trainer.py", "--every", "5")
    host.wait_step("run-a", 17)
    [leader] = [one for one in host.processes("run-a") if one.argv()[1] == "trainer.py"]
    leader.end(signal.SIGSTOP)
    folders = sorted(host.directory("run-a").checkpoints.glob("step-*"), key=lambda path: int(path.name[5:]))
    shard = folders[-1] / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    leader.end(signal.SIGKILL)
    older = int(folders[-2].name[5:])
    events = wait_for(
        lambda: [e for e in read_events(host.directory("run-a").events).events if e.kind == "run.resumed"], "a resume"
    )
    assert events[0].data["step"] == older
    rejected = [data for kind, data in host.events("run-a") if kind == "checkpoint.rejected"]
    assert [data["step"] for data in rejected] == [older + 5]
    assert "has 4,999 bytes instead of 5,000" in rejected[0]["problems"][0]
    assert shard.exists()
    verified = host.state("run-a").last_verified_checkpoint
    assert verified is not None and verified.step == older


def test_a_prescribed_step_holds_for_the_resume_and_not_for_restarts(host: Host) -> None:
    host.start("run-a", "trainer.py", "--every", "5")
    host.wait_step("run-a", 17)
    host.stop("run-a")
    program = ["trainer.py", "--every", "5"]
    argv = ["trainer.py", "--resume", "{run_dir}@5", "--every", "5"]
    answer = host.start("run-a", *program, resume=True, attempt=2, resume_argv=argv)
    assert answer["attempt"] == 2 and not answer["existing"]
    wait_for(lambda: json.loads(host.directory("run-a").progress.read_text())["attempt"] == 2, "the second attempt")
    host.wait_step("run-a", 12)
    kill_leader(host, "run-a")
    wait_for(lambda: len(_resumes(host)) == 2, "the restart")
    first, second = _resumes(host)
    assert first == 5 and second >= 10


def test_a_resume_changes_settings_once(host: Host) -> None:
    """What a resume changes is in the manifest afterwards; saying it again would be refused by the trainer."""
    program = ["failing.py", "--code", "7"]
    host.start("run-a", *program, max_restarts=0)
    host.wait_state("run-a", "failed")
    resume = [*program, "--resume", "{run_dir}", "--changed"]
    restart = [*program, "--resume", "{run_dir}"]
    host.start("run-a", *program, resume=True, attempt=2, max_restarts=1, resume_argv=resume, restart_argv=restart)
    assert host.wait_state("run-a", "failed").attempt == 3
    assert host.row("run-a")["restarts"] == 1
    again = host.launch("run-a", resume=True, attempt=2, max_restarts=1, resume_argv=resume, restart_argv=restart)
    assert host.call("start", **again)["existing"] is False


def test_a_repeated_resume_is_one_and_another_is_busy(host: Host) -> None:
    host.start("run-a")
    host.stop("run-a")
    request = host.launch("run-a", resume=True, attempt=2)
    both = [host.process("start", request) for _ in range(2)]
    answers = [host.outcome(one) for one in both]
    assert sorted((status, answer["existing"]) for status, answer in answers) == [(0, False), (0, True)]
    status, answer = host.ask("start", **host.launch("run-a", resume=True, attempt=3))
    assert status == 75 and answer["error"]["what"] == "run run-a is live"
    host.stop("run-a")
    assert host.call("start", **request)["existing"]


def test_a_resume_that_comes_too_late_by_an_instant_is_not_told_that_it_won(host: Host) -> None:
    """Another resume of the run has the device already, and has not said yet which request it carries out."""
    host.start("run-a")
    host.stop("run-a")
    request = host.launch("run-a", resume=True, attempt=2)
    names = names_of(Launch.parse(request), DeployDir.at(str(host.deploy_dir)))
    reservation = Reservation.take(names, "run-a")
    started = host.process("start", request)
    with selectors.DefaultSelector() as selector:
        for listener in reservation.sockets:
            selector.register(listener, selectors.EVENT_READ)
        while started.poll() is None:
            for key, _ in selector.select(0.05):
                reservation.answer(cast(socket.socket, key.fileobj))
    reservation.close()
    status, answer = host.outcome(started)
    assert status == 75 and "run run-a" in answer["error"]["what"], answer
    assert host.state("run-a").attempt == 1


def _resumes(host: Host) -> list[int]:
    events = read_events(host.directory("run-a").events).events
    return [event.data["step"] for event in events if event.kind == "run.resumed"]
