"""Members of one run among themselves, over real connections: start together, one order, one end, and lost peers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from fleet.remote.member import Member
from fleet.remote.stopping import Stop
from tests.farm.proxy import Proxy
from tests.fleet.cluster.launches import SILENCE, failure

T = TypeVar("T")


def until(members: Sequence[Member], look: Callable[[], T | None], seconds: float = 10.0) -> T:
    """What `look` gives once it gives something, while the supervisors' loops turn."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for one in members:
            one.beat()
        if (found := look()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def passes(members: Sequence[Member], seconds: float) -> list[object]:
    """The orders that come while so much time passes."""
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        for one in members:
            one.beat()
            found += [order] if (order := one.orders()) is not None else []
        time.sleep(0.02)
    return found


def started(members: Sequence[Member], attempt: int = 1, *steps: int | None) -> list[int | None]:
    """Let an attempt start; the steps that it starts from."""
    for node, one in enumerate(members):
        one.ready(attempt, steps[node] if steps else None)
    return [until(members, one.wait_start).step for one in members]


def test_all_start_when_the_last_one_is_ready_from_the_step_of_rank_0(member: Callable[..., Member]) -> None:
    first, second = member(0), member(1)
    first.ready(1, 40)
    second.ready(1, 30)
    assert not passes([first, second], 0.3) and first.wait_start() is None
    third = member(2)
    third.ready(1, None)
    assert [until([first, second, third], one.wait_start).step for one in (first, second, third)] == [40] * 3


def test_a_missing_node_is_named_to_those_that_came(member: Callable[..., Member]) -> None:
    came = [member(node, patience=0.5) for node in range(2)]
    for one in came:
        one.ready(1, None)
    orders = [until(came, one.orders) for one in came]
    assert all("missing: h2" in order.reason and order.exit["culprit"]["node"] == 2 for order in orders)


def test_without_a_lead_a_node_gives_up_by_itself(member: Callable[..., Member]) -> None:
    alone = member(1, patience=0.5)
    alone.ready(1, None)
    order = until([alone], alone.orders)
    assert (order.action, order.exit["kind"]) == ("stop", "NotReady") and "Connection refused" in order.reason


def test_a_failure_restarts_all_and_the_next_attempt_knows_nothing_of_it(member: Callable[..., Member]) -> None:
    members = [member(node) for node in range(3)]
    started(members)
    members[1].report_failing(failure())
    assert until(members, members[0].halted) == "rank 1 on h1 failed" and members[1].halted() is None
    members[1].report_failure(failure())
    orders = [until(members, one.orders) for one in members]
    assert {(order.action, order.state, order.lines) for order in orders} == {("restart", "failed", ("a last line",))}
    assert members[0].halted() is None
    assert started(members, 2, 8, None, None) == [8] * 3
    members[2].report_failure(failure(rank=2, node=2))
    assert {until(members, one.orders).exit["culprit"]["rank"] for one in members} == {2}


def test_a_report_of_any_length_arrives(member: Callable[..., Member]) -> None:
    members = [member(node, nodes=2) for node in range(2)]
    started(members)
    report = failure()
    report["lines"] = ["\\x1b" * 20_000] * 20
    report["exit"]["culprit"]["message"] = "m" * 1_000_000
    members[1].report_failure(report)
    assert len(until(members, members[0].orders).lines) == 20


@pytest.mark.parametrize("asked", [0, 2])
def test_a_stop_of_one_node_reaches_all(member: Callable[..., Member], asked: int) -> None:
    members = [member(node) for node in range(3)]
    started(members)
    members[asked].report_stop(Stop("fleet stop", 0, time.monotonic() + 30, kill=False))
    others = [one for node, one in enumerate(members) if node != asked]
    stops = [until(members, one.asked_elsewhere) for one in others]
    assert {stop.by for stop in stops} == {f"h{asked}"} and all(28 < stop.grace <= 30 for stop in stops)
    assert not passes(members, 0.5) and others[0].asked_elsewhere() is None, "once"
    members[asked].report_stop(Stop("fleet stop", 0, time.monotonic() + 30, kill=True))
    assert until(members, others[0].asked_elsewhere).kill


def test_the_end_is_told_to_all_even_if_the_lead_ends_at_once(member: Callable[..., Member]) -> None:
    members = [member(node) for node in range(3)]
    started(members)
    for one in members:
        one.report_end("completed" if one is not members[0] else "stopped")
    assert until(members[:1], members[0].verdict) == "stopped"
    members[0].close()
    rest = members[1:]
    assert [until(rest, one.verdict) for one in rest] == ["stopped"] * 2
    assert not passes(rest, 1.5 * SILENCE), "a lead that may go is not missed"


def test_a_lead_that_ends_before_the_run_is_missed_at_once(member: Callable[..., Member]) -> None:
    members = [member(node, silence=5.0) for node in range(3)]
    started(members)
    members[0].close()
    orders = [until(members[1:], one.orders, 2.0) for one in members[1:]]
    assert {(order.action, order.reason) for order in orders} == {("stop", "h0 left the run")}


def test_a_lead_that_ends_without_a_decision_is_missed_at_once(member: Callable[..., Member]) -> None:
    members = [member(node, silence=5.0) for node in range(3)]
    started(members)
    members[0]._lead.close()
    order = until(members, members[1].orders, 2.0)
    assert (order.action, order.exit["kind"], order.reason) == ("stop", "LeadLost", "the lead on h0 has ended")


def test_a_node_that_leaves_after_its_end_is_not_missed(member: Callable[..., Member]) -> None:
    members = [member(node) for node in range(3)]
    started(members)
    members[2].report_end("completed")
    members[2].close()
    assert not passes(members[:2], 1.5 * SILENCE)


def test_a_supervisor_that_hangs_is_missed(member: Callable[..., Member]) -> None:
    members = [member(node) for node in range(3)]
    started(members)
    order = until(members[:2], members[1].orders)
    assert (order.action, order.exit["culprit"]["node"], order.exit["kind"]) == ("stop", 2, "NodeLost")


@pytest.fixture
def far(member: Callable[..., Member], addresses: list[str], port: int) -> Callable[[Proxy, float], list[Member]]:
    """Two members, the second behind a proxy."""

    def make(proxy: Proxy, silence: float) -> list[Member]:
        members = [
            member(0, nodes=2, silence=silence),
            member(1, nodes=2, silence=silence, at=(proxy.address, proxy.port)),
        ]
        started(members)
        return members

    return make


def test_connections_may_break_at_any_time(
    far: Callable[[Proxy, float], list[Member]], addresses: list[str], port: int
) -> None:
    with Proxy(addresses[0], port) as proxy:
        members = far(proxy, 5.0)
        for _ in range(3):
            proxy.reset_all()
            assert not passes(members, 0.3)
        members[1].report_failure(failure())
        proxy.reset_all()
        assert [until(members, one.orders).action for one in members] == ["restart"] * 2
        proxy.reset_all()
        assert not passes(members, 0.6), "an order is obeyed once, however often it is told"
        proxy.close_all()
        assert started(members, 2) == [None, None]


def test_a_link_that_is_silent_for_a_while_is_replaced(
    far: Callable[[Proxy, float], list[Member]], addresses: list[str], port: int
) -> None:
    with Proxy(addresses[0], port) as proxy:
        members = far(proxy, 2.0)
        proxy.hole(True)
        assert not passes(members, 0.9)
        before = proxy.connections
        proxy.hole(False)
        until(members, lambda: proxy.connections > before or None)
        assert not passes(members, 0.5)


def test_a_dead_link_ends_both_sides_with_the_reason(
    far: Callable[[Proxy, float], list[Member]], addresses: list[str], port: int
) -> None:
    with Proxy(addresses[0], port) as proxy:
        members = far(proxy, 1.0)
        proxy.hole(True)
        began = time.monotonic()
        near, away = (until(members, one.orders) for one in members)
        assert time.monotonic() - began < 2.0
        assert near.exit["kind"] == "NodeLost" and "h1 was silent for 1 s" in near.reason
        assert away.exit["kind"] == "LeadLost" and "the lead on h0 was silent for 1 s" in away.reason
        assert away.exit["culprit"]["node"] == 0
