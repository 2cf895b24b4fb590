"""Supervisors of one run among themselves: start together, one culprit, one decision, and nobody else gets in."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleet.remote.group import NotReady
from fleet.remote.launch import Launch
from fleet.remote.lead import Lead
from fleet.remote.member import Member
from fleet.remote.states import culprit_field, exit_field
from fleet.remote.wire import Refused, join, welcome

TOKEN = "5e" * 32


def launch(node: int, port: int, *, nodes: int = 3, token: str = TOKEN, restarts: int = 3) -> Launch:
    return Launch.parse(
        {
            "schema": 1,
            "run": "pair-20260131-235959-k3qz",
            "name": "pair",
            "deploy_dir": "~/fleet/x",
            "release": None,
            "environment": None,
            "python": "/usr/bin/python3",
            "argv": ["trainer.py"],
            "resume_argv": ["trainer.py", "--resume", "{run_dir}"],
            "max_restarts": restarts,
            "waits": [0.1],
            "group": {
                "node_rank": node,
                "nodes": [{"name": f"h{rank}", "address": f"127.0.9.{rank + 1}"} for rank in range(nodes)],
                "master_address": "127.0.9.1",
                "master_port": 29500,
                "lead_port": port,
                "token": token,
                "interface": None,
            },
        }
    )


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.9.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def member(port: int) -> Iterator[Callable[..., Member]]:
    made: list[Member] = []

    def make(node: int, *, silence: float = 1.0, patience: float = 10.0, **fields: object) -> Member:
        made.append(Member(launch(node, port, **fields), silence=silence, patience=patience))
        return made[-1]

    yield make
    for one in reversed(made):
        one.close()


def until(members: list[Member], look: Callable[[], object], seconds: float = 10.0) -> object:
    """What `look` gives once it gives something, while the supervisors' loops turn."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for one in members:
            one.beat()
        if (found := look()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def failure(
    code: int = 5, *, rank: int = 1, node: int = 1, step: int = 4, retry: bool = True, kind: str = "DeviceMemoryError"
) -> dict:
    culprit = culprit_field(rank, node=node, exception=kind, message="it failed")
    return {"state": "failed", "exit": exit_field(code, culprit=culprit, retry=retry), "step": step, "lines": []}


def started(
    members: list[Member], attempt: int = 1, steps: tuple[int | None, ...] = (None, None, None)
) -> list[object]:
    for one, step in zip(members, steps, strict=True):
        one.ready(attempt, step)
    return [until(members, one.wait_start) for one in members]


def test_nobody_starts_before_all_are_ready(member):
    first, second = member(0), member(1)
    first.ready(1, 40)
    second.ready(1, 30)
    until([first, second], lambda: None if second._missing != ["h2"] else True)
    assert first.wait_start() is None
    third = member(2)
    third.ready(1, None)
    assert [until([first, second, third], one.wait_start).step for one in (first, second, third)] == [30, 30, 30]


def test_a_missing_node_is_named(member):
    first, second = member(0, patience=1.5), member(1, patience=1.5)
    first.ready(1, None)
    second.ready(1, None)

    def refused() -> str | None:
        try:
            second.wait_start()
        except NotReady as error:
            return str(error)
        return None

    assert "h2" in until([first, second], refused)


def test_the_first_failure_to_arrive_is_the_culprit_and_all_restart_together(member):
    members = [member(node) for node in range(3)]
    started(members)
    members[1].report_failure(failure(rank=3, node=1))
    orders = [until(members, one.orders) for one in members]
    members[2].report_failure(failure(rank=5, node=2))
    assert {order.action for order in orders} == {"restart"}
    assert {order.exit["culprit"]["rank"] for order in orders} == {3}
    assert all("rank 3 on h1" in order.reason for order in orders)
    assert started(members, 2, (8, None, None))[1].step == 8
    time.sleep(0.3)
    assert [one.orders() for one in members] == [None, None, None], (
        "a late report of the attempt before changes nothing"
    )


def test_who_only_lost_a_peer_is_not_the_culprit(member):
    members = [member(node) for node in range(3)]
    started(members)
    members[0].report_failure(failure(7, rank=0, node=0, kind="PeerLost"))
    members[1].report_failure(failure(rank=3, node=1))
    assert until(members, members[2].orders).exit["culprit"]["rank"] == 3
    started(members, 2)
    members[0].report_failure(failure(7, rank=0, node=0, kind="PeerLost"))
    assert until(members, members[2].orders).exit["culprit"]["rank"] == 0, "nobody had a better reason"


def test_a_failure_that_cannot_be_helped_stops_all(member):
    members = [member(node) for node in range(3)]
    started(members)
    members[2].report_failure(failure(2, node=2, retry=False))
    orders = [until(members, one.orders) for one in members]
    assert {(order.action, order.state) for order in orders} == {("stop", "failed")}


def test_a_silent_node_stops_the_others(member):
    members = [member(node) for node in range(3)]
    started(members)
    rest = members[:2]
    order = until(rest, rest[1].orders)
    assert (order.action, order.exit["culprit"]["node"], order.exit["kind"]) == ("stop", 2, "NodeLost")


def test_a_silent_lead_is_an_order_to_stop(member):
    members = [member(node, silence=0.7) for node in range(3)]
    started(members)
    members[0]._lead._closed.set()
    members[0]._lead._tell_all = lambda message: None
    order = until(members[1:], members[1].orders)
    assert (order.action, order.exit["kind"]) == ("stop", "LeadLost")


def test_a_node_that_ends_well_is_not_missed(member):
    members = [member(node) for node in range(3)]
    started(members)
    members[2].close()
    rest = members[:2]
    end = time.monotonic() + 1.6
    until(rest, lambda: True if time.monotonic() > end else None)
    assert [one.orders() for one in rest] == [None, None]


def test_the_node_of_rank_0_says_how_the_run_ended(member):
    members = [member(node) for node in range(3)]
    started(members)
    members[1].report_end("completed")
    members[0].report_end("stopped")
    assert [until(members, one.verdict) for one in members] == ["stopped"] * 3
    assert [one.orders() for one in members] == [None] * 3


def test_an_order_reaches_a_node_that_was_cut_off_when_it_was_given(member):
    members = [member(node, silence=5.0) for node in range(3)]
    started(members)
    lead = members[0]._lead
    lead._wires[2].connection.shutdown(socket.SHUT_RDWR)
    members[1].report_failure(failure())
    assert until(members, members[2].orders).action == "restart"


def test_who_does_not_know_the_token_gets_nothing(member, port):
    member(0)
    with socket.create_connection(("127.0.9.1", port)) as stranger:
        stranger.settimeout(5)
        with pytest.raises((Refused, OSError)):
            join(stranger, "00" * 32, "pair-20260131-235959-k3qz", 1)
    with socket.create_connection(("127.0.9.1", port)) as stranger:
        stranger.settimeout(5)
        greeting = json.loads(stranger.makefile("rb").readline())
        assert set(greeting) == {"nonce"}, "the token itself is never sent"
        stranger.sendall(b"\xff\n")
        assert stranger.recv(100) == b""


def test_a_changed_message_is_noticed():
    with socket.create_server(("127.0.9.1", 0)) as listener, ThreadPoolExecutor() as threads:
        there = socket.create_connection(listener.getsockname())
        member = threads.submit(join, there, TOKEN, "r", 1)
        lead = welcome(listener.accept()[0], TOKEN, "r", 2)
        lead.send({"kind": "beat"})
        assert member.result().receive() == [{"kind": "beat"}]
        lead.connection.sendall(b"0" * 64 + b' {"kind":"failed"}\n')
        with pytest.raises(Refused):
            member.result().receive()
        lead.close()
        member.result().close()


def test_the_lead_port_must_be_free(port):
    lead = Lead(launch(0, port))
    try:
        with pytest.raises(OSError):
            Lead(launch(0, port))
    finally:
        lead.close()
