"""Real supervisors with ranks that need each other: one start, one culprit, one restart, one stop, one end.

Where a test waits for time to pass, several clusters wait at once.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hydra.runs import State
from tests.farm.processes import end_all
from tests.fleet.cluster.clusters import RUN, Cluster
from tests.fleet.remote.hosts import Host, wait_for

#: Seconds that the specification allows from a failure until nothing of the run is left on any node.
ALL_STOPPED = 5.0

Clusters = Callable[..., Cluster]


def test_a_run_starts_ends_and_is_completed_on_all_nodes(cluster: Clusters) -> None:
    pair = cluster(2, nproc=2)
    pair.start("--steps", "30", "--late", "0.5")
    states = pair.states()
    assert [state.state for state in states] == ["completed", "completed"]
    assert [(state.node_rank, state.node_count) for state in states] == [(0, 2), (1, 2)]
    assert {"rank 2 begins at step 0", "rank 3 ends at step 30"} <= set(pair.lines(1))


def test_the_culprit_is_named_on_all_nodes_and_all_restart_from_the_checkpoint(cluster: Clusters) -> None:
    pair = cluster(2, nproc=2)
    pair.start("--every", "5")
    pair.wait_step(12)
    end_all([pair.rank(3, 1)])
    wait_for(lambda: "run.resumed" in dict(pair.hosts[0].events(RUN)), "a resume")
    states = pair.states("running")
    assert [state.attempt for state in states] == [2, 2] and [state.restarts_used for state in states] == [1, 1]
    events = [data["step"] for kind, data in pair.hosts[0].events(RUN) if kind == "run.resumed"]
    assert len(events) == 1 and events[0] >= 10
    for host in pair.hosts:
        exit = dict(host.events(RUN))["run.restarted"]["exit"]
        assert (exit["signal"], exit["culprit"]["rank"], exit["culprit"]["node"]) == (9, 3, 1)
        assert exit["culprit"]["message"] == "on h1: signal 9"
    said = "rank 3 on h1 failed first: signal 9; starting again in 0 s"
    assert all(said in pair.lines(node) for node in range(2))


#: Ranks that wait for a dead peer on the device take no TERM, and torchrun itself would wait 30 s for each.
PEERS = {"they fail": (), "they hang": ("--hang",), "nobody saw how it ended": ("--blind",)}


def test_without_restarts_the_run_ends_alike_everywhere(cluster: Clusters) -> None:
    pairs = [cluster(2, nproc=3, max_restarts=0) for _ in PEERS]
    started = [pair.begin(*options) for pair, options in zip(pairs, PEERS.values(), strict=True)]
    for pair, options in zip(pairs, PEERS, strict=True):
        pair.wait_step(3)
        end_all([pair.rank(4, 1)])
        pair.all_gone(ALL_STOPPED)
        states = pair.states()
        assert [state.state for state in states] == ["killed", "killed"], options
        assert states[0].exit == states[1].exit and states[0].exit is not None and states[0].exit.culprit is not None
        assert (states[0].exit.culprit.rank, states[0].exit.culprit.node, states[0].exit.signal) == (4, 1, 9), options
    for answers in started:
        assert all(Host.outcome(one)[0] == 0 for one in answers)


def test_an_exception_is_told_with_its_rank_host_and_last_lines(cluster: Clusters) -> None:
    pair = cluster(2, max_restarts=0)
    answers = pair.start("--fail", "1@3", confirm_seconds=30)
    pair.states()
    for answer in answers:
        assert answer["state"] in ("oom", "running")
    ended = [answer for answer in answers if answer["confirmed"] is None]
    for answer in ended:
        assert answer["exit"]["culprit"] == {
            "rank": 1,
            "node": 1,
            "exception": "DeviceMemoryError",
            "message": "on h1: no room for it",
        }
        assert any("DeviceMemoryError" in line for line in answer["lines"])


def test_a_launcher_that_dies_is_no_riddle(cluster: Clusters) -> None:
    pair = cluster(2, max_restarts=0)
    pair.start()
    pair.wait_step(3)
    leader = pair.hosts[1].state(RUN).leader
    assert leader is not None
    end_all([one for one in pair.processes(1) if one.pid == leader.pid])
    pair.all_gone(ALL_STOPPED)
    states = pair.states()
    assert [(state.state, state.exit and state.exit.signal) for state in states] == [("killed", 9)] * 2
    assert states[0].exit is not None and states[0].exit.culprit is not None and states[0].exit.culprit.node == 1


def test_a_stop_of_one_node_stops_the_run_and_saves(cluster: Clusters) -> None:
    pairs = [cluster(2), cluster(2)]
    started = [one for pair in pairs for one in pair.begin("--every", "100000")]
    for asked, pair in enumerate(pairs):
        pair.wait_step(5)
        answer = pair.hosts[asked].stop(RUN)
        assert answer["state"] == "stopped" and not answer["survivors"]
        states = pair.states()
        assert [state.state for state in states] == ["stopped", "stopped"]
        assert states[0].last_verified_checkpoint is not None
        assert states[0].last_verified_checkpoint.step == states[0].last_step
        assert [kind for kind, _ in pair.hosts[0].events(RUN)].count("checkpoint.saved") == 1
    assert all(Host.outcome(one)[0] == 0 for one in started)


@pytest.mark.parametrize("phase", ["starting", "backoff"])
def test_a_stop_of_one_node_ends_the_waiting_of_the_others(cluster: Clusters, phase: str) -> None:
    trio = cluster(3, waits=[30])
    if phase == "starting":
        started = trio.begin(only=[0, 1])
        for node in (0, 1):
            trio.hosts[node].wait_state(RUN, "starting")
    else:
        started = []
        trio.start()
        trio.wait_step(3)
        end_all([trio.rank(1, 1)])
        trio.states("backoff")
    began = time.monotonic()
    trio.hosts[1].stop(RUN)
    assert trio.hosts[0].wait_state(RUN).state == "stopped"
    assert time.monotonic() - began < ALL_STOPPED
    assert all(Host.outcome(one)[1]["state"] == "stopped" for one in started)


def test_a_kill_of_one_node_is_a_kill_of_all(cluster: Clusters) -> None:
    pair = cluster(2)
    pair.start("--hang")
    pair.wait_step(3)
    pair.hosts[1].stop(RUN, kill=True)
    pair.all_gone(ALL_STOPPED)
    assert [state.state for state in pair.states()] == ["stopped", "stopped"]


def test_a_supervisor_that_dies_or_stands_still_ends_the_others(cluster: Clusters, hasty_agent: Path) -> None:
    pairs = [cluster(2, hasty_agent) for _ in range(3)]
    started = [one for pair in pairs for one in pair.begin()]
    for pair in pairs:
        pair.wait_step(3)
    no_lead, no_node, stuck = pairs
    end_all([no_lead.hosts[0].supervisor(RUN), no_node.hosts[1].supervisor(RUN)])
    still = stuck.hosts[1].supervisor(RUN)
    still.end(signal.SIGSTOP)
    try:
        assert _reason(no_lead.hosts[1].wait_state(RUN)) == ("LeadLost", "the lead on h0 was silent for 2 s")
        assert _reason(no_node.hosts[0].wait_state(RUN)) == ("NodeLost", "h1 was silent for 2 s")
        assert _reason(stuck.hosts[0].wait_state(RUN)) == ("NodeLost", "h1 was silent for 2 s")
    finally:
        still.end(signal.SIGCONT)
    assert stuck.hosts[1].wait_state(RUN).state == "failed"
    assert no_lead.hosts[0].row(RUN)["state"] == no_node.hosts[1].row(RUN)["state"] == "lost"
    for pair in pairs:
        # What a dead supervisor left went with its peers.
        pair.all_gone(ALL_STOPPED)
    assert all(Host.outcome(one)[0] == 0 for one in started)


def _reason(state: State) -> tuple[str | None, str]:
    """Why a run ended, without what the network said of it."""
    assert state.state == "failed" and state.exit is not None and state.exit.culprit is not None
    return state.exit.kind, state.exit.culprit.message.partition(": ")[0]


def test_many_nodes_start_together_and_end_together_and_share_no_socket_with_trainers(cluster: Clusters) -> None:
    """A socket in a trainer would keep the lead port, and the connection to a dead supervisor, alive."""
    many = cluster(4, max_restarts=0)
    many.start()
    many.wait_step(3)
    for node, host in enumerate(many.hosts):
        supervisor = _sockets(host.supervisor(RUN).pid)
        assert supervisor, "a connection to the lead at least"
        assert not supervisor & {found for one in many.processes(node) for found in _sockets(one.pid)}
    end_all([many.rank(2, 2)])
    many.all_gone(ALL_STOPPED)
    assert {state.exit.culprit.rank for state in many.states() if state.exit and state.exit.culprit} == {2}


def test_a_lead_port_that_is_taken_is_named(cluster: Clusters) -> None:
    pair = cluster(2)
    with socket.create_server((pair.addresses[0], pair.lead_port)):
        status, answer = Host.outcome(pair.begin(only=[0])[0])
    assert status == 75 and f"port {pair.lead_port} of {pair.addresses[0]}" in answer["error"]["what"]
    assert pair.hosts[0].wait_state(RUN).state == "failed"


def _sockets(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        found |= {target} if target.startswith("socket:") else set()
    return found
