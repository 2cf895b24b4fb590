"""The lead port is open to everybody who can reach it: who does not know the token gets nothing and disturbs nobody."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleet.remote.lead import Lead
from fleet.remote.member import Member
from fleet.remote.wire import Guest, Refused, Wire, join
from tests.fleet.cluster.launches import RUN, SILENCE, TOKEN, launch
from tests.fleet.cluster.test_members import passes, started, until


@contextlib.contextmanager
def strangers(address: str, port: int, count: int, says: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that say something, or nothing."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.create_connection((address, port), timeout=5)) for _ in range(count)]
        for one in made:
            # The lead may have closed it in the middle.
            with contextlib.suppress(ConnectionError):
                one.sendall(says)
        yield made


HOSTILE = {
    "nothing": b"",
    "half a line": b"1 00",
    "a line without an end": b"x" * 100_000,
    "an answer that is no answer": b"\xff\xfe\n" * 10,
    "nested brackets": b"[" * 4000 + b"\n",
    "what is no ASCII": json.dumps({"node": 1, "nonce": "a", "proof": "\u00e9"}, ensure_ascii=False).encode() + b"\n",
    "a node that does not exist": b"9999 " + b"0" * 32 + b" " + b"0" * 64 + b"\n",
    "a wrong proof": b"1 " + b"0" * 32 + b" " + b"0" * 64 + b"\n",
    "a wrong proof and more": b"1 " + b"0" * 32 + b" " + b"0" * 64 + b"\n" + b'0 {"left": true}\n' * 1000,
}


def test_strangers_change_nothing(member: Callable[..., Member], addresses: list[str], port: int) -> None:
    members = [member(node, nodes=2) for node in range(2)]
    started(members)
    with contextlib.ExitStack() as stack:
        for says in HOSTILE.values():
            stack.enter_context(strangers(addresses[0], port, 2, says))
            assert not passes(members, 0.05)
        assert not passes(members, 1.5 * SILENCE)
    assert not passes(members, 0.1)


def test_a_crowd_keeps_no_member_out(member: Callable[..., Member], addresses: list[str], port: int) -> None:
    first = member(0, nodes=2)
    with strangers(addresses[0], port, 200):
        began = time.monotonic()
        started([first, member(1, nodes=2)])
        assert time.monotonic() - began < 2.0


def test_who_does_not_know_the_token_learns_nothing(
    member: Callable[..., Member], addresses: list[str], port: int
) -> None:
    member(0)
    for token, run in (("00" * 32, RUN), (TOKEN, "another-run")):
        with socket.create_connection((addresses[0], port)) as stranger, pytest.raises((Refused, OSError)):
            join(stranger, token, run, 1, 5.0)
    with socket.create_connection((addresses[0], port), timeout=5) as stranger:
        stranger.sendall(HOSTILE["a wrong proof"])
        said = stranger.makefile("rb").read()
        assert said.count(b"\n") == 1 and TOKEN.encode() not in said, "a greeting with a nonce, and no more"


def test_a_member_with_another_token_stays_out(member: Callable[..., Member], addresses: list[str], port: int) -> None:
    first, wrong = member(0, nodes=2, patience=0.5), member(1, nodes=2, patience=0.5, token="ab" * 32)
    first.ready(1, None)
    wrong.ready(1, None)
    found = [until([first, wrong], one.orders) for one in (first, wrong)]
    assert [order.exit["kind"] for order in found] == ["NotReady"] * 2
    assert any("another token" in order.reason for order in found)


def test_something_else_on_the_lead_port_is_recognized(addresses: list[str], port: int) -> None:
    with socket.create_server((addresses[0], port)) as listener, ThreadPoolExecutor() as threads:
        for greeting in (b"SSH-2.0-OpenSSH_9.2\r\n", b"x" * 1000, b""):
            there = socket.create_connection((addresses[0], port))
            waiting = threads.submit(join, there, TOKEN, RUN, 1, 0.5)
            with listener.accept()[0] as other:
                other.sendall(greeting)
                with pytest.raises(Refused):
                    waiting.result(5)
            there.close()


@pytest.fixture
def pair(addresses: list[str]) -> Iterator[tuple[Wire, Wire]]:
    """Both ends of a proven connection: the lead's, the member's."""
    with socket.create_server((addresses[0], 0)) as listener, ThreadPoolExecutor() as threads:
        there = socket.create_connection(listener.getsockname())
        joining = threads.submit(join, there, TOKEN, RUN, 1, 5.0)
        guest, lead = Guest(listener.accept()[0], TOKEN, RUN, 2, 0.0), None
        while lead is None:
            with contextlib.suppress(BlockingIOError):
                lead = guest.answer()
        yield lead, joining.result(5)
        lead.close()
        joining.result().close()


def received(wire: Wire) -> list[dict[str, object]]:
    """The next messages of a wire."""
    while not (found := wire.receive()):
        assert found is not None
        time.sleep(0.01)
    return found


def test_messages_arrive_in_order_and_whole(pair: tuple[Wire, Wire]) -> None:
    lead, member = pair
    for number in range(3):
        lead.send({"number": number, "text": "\u00e9\n" * 1000})
    found: list[dict[str, object]] = []
    while len(found) < 3:
        found += received(member)
    assert [message["number"] for message in found] == [0, 1, 2]


@pytest.mark.parametrize("forged", [b"0" * 64 + b' {"left": true}\n', b"\n", b"x\n"])
def test_a_forged_message_is_noticed(pair: tuple[Wire, Wire], forged: bytes) -> None:
    lead, member = pair
    lead.connection.sendall(forged)
    with pytest.raises(Refused):
        received(member)


def test_a_message_counts_once_and_for_one_side(pair: tuple[Wire, Wire]) -> None:
    lead, member = pair
    lead.send({"a": 1})
    time.sleep(0.05)
    line = member.connection.recv(1000)
    for side, other in ((member, lead), (lead, member)):
        other.connection.sendall(line * 2)
        with pytest.raises(Refused):
            for _ in range(2):
                received(side)


def test_a_peer_that_does_not_read_is_given_up(pair: tuple[Wire, Wire]) -> None:
    lead, _ = pair
    began = time.monotonic()
    with pytest.raises(OSError, match="does not read"):
        for _ in range(1000):
            lead.send({"text": "x" * 100_000})
    assert time.monotonic() - began < 5


def test_the_lead_port_must_be_free(addresses: list[str], port: int) -> None:
    lead = Lead(launch(0, addresses[:2], port))
    try:
        with pytest.raises(OSError):
            Lead(launch(0, addresses[:2], port))
    finally:
        lead.close()
