"""What a host finds out about its way to the others, and the rehearsal of their meeting."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fleet.remote.meeting import Meeting
from fleet.remote.network import Mark, interface_of, main, own, peers
from tests.fleet.cluster.launches import free_port


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Hosts at the same time."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def meeting(addresses: list[str]) -> Meeting:
    """At two free ports of the first address."""
    return Meeting(addresses[0], (free_port(addresses[0]), free_port(addresses[0])), "ab12", 4.0)


def test_an_address_of_ours_is_taken_as_it_is(addresses: list[str]) -> None:
    found = own(addresses[1], (addresses[0],))
    assert (found["address"], found["interface"]) == (addresses[1], "lo")


def test_a_port_of_ours_that_is_taken_is_named(addresses: list[str]) -> None:
    with socket.create_server((addresses[0], 0)) as taken:
        port = taken.getsockname()[1]
        found = own(addresses[0], (addresses[1],), (free_port(addresses[0]), port))
    assert found == {"problem": f"its port {port} is not free: Address already in use", "taken": port}
    assert own(addresses[0], (addresses[1],), (port,))["address"] == addresses[0]


def test_a_name_that_means_the_loopback_is_not_what_others_reach() -> None:
    """Many systems have a line `127.0.1.1 NAME` for their own name."""
    found = own("127.0.1.1", ("192.0.2.1",))
    assert "problem" in found or not found["address"].startswith("127.")


def test_who_cannot_be_looked_up_is_named() -> None:
    assert own("127.0.0.1", ("nowhere.invalid",))["problem"].startswith("nowhere.invalid cannot be looked up: no IPv4")


def test_look_ups_are_timed_in_both_directions(addresses: list[str]) -> None:
    rows = peers({"localhost": addresses[0], "nowhere.invalid": addresses[1]})["peers"]
    assert set(rows) == set(addresses[:2])
    assert all(row["interface"] == "lo" and row["lookup_s"] >= 0 and row["reverse_s"] >= 0 for row in rows.values())
    assert interface_of("192.0.2.77") is None


def test_marks_tell_who_shares_a_folder(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    here, there = Mark(str(tmp_path), "m1"), Mark(str(tmp_path / "other"), "m1")
    here.put("h0")
    here.put("h1")
    Mark(str(tmp_path), "m0").put("h2")
    Mark(str(tmp_path / "absent"), "m1").put("h3")
    assert here.seen(("h0", "h1", "h2", "h3")) == ["h0", "h1"], "an older mark counts for nothing"
    assert there.seen(("h0",)) == []
    for name in ("h0", "h1", "h2", "h2"):
        here.remove(name)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_question_that_is_none_is_refused() -> None:
    answer, status = main({"op": "else"})
    assert status == 1 and answer["error"]["kind"] == "usage"


def test_the_meeting_ends_when_all_have_come(meeting: Meeting, threads: ThreadPoolExecutor) -> None:
    began = time.monotonic()
    visits = [threads.submit(meeting.reach, name) for name in ("h1", "h2")]
    assert meeting.listen({"h1", "h2"}) == {"refused": {}, "absent": {}}
    assert time.monotonic() - began < 2.0
    assert all("ms" in port for visit in visits for port in visit.result()["ports"].values())


def test_a_port_that_is_taken_is_named(meeting: Meeting) -> None:
    with socket.create_server((meeting.address, meeting.ports[1])):
        [(port, reason)] = meeting.listen({"h1"})["refused"].items()
        assert port == str(meeting.ports[1]) and reason.startswith("Address already in use")


def test_who_does_not_come_is_named(meeting: Meeting, threads: ThreadPoolExecutor) -> None:
    short = meeting._replace(seconds=0.5)
    visit = threads.submit(short.reach, "h1")
    assert short.listen({"h1", "h2"})["absent"] == {str(port): ["h2"] for port in meeting.ports}
    assert all("ms" in port for port in visit.result()["ports"].values())


STRANGE: dict[str, Callable[[Meeting], Any]] = {
    "nobody listens": lambda meeting: None,
    "something else listens": lambda meeting: meeting._replace(token="cd34", seconds=0.5).listen({"h1"}),
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
def test_what_is_not_the_master_does_not_count(
    meeting: Meeting, threads: ThreadPoolExecutor, strange: Callable[[Meeting], Any]
) -> None:
    there: Future[Any] = threads.submit(strange, meeting)
    found = meeting._replace(seconds=0.5).reach("h1")["ports"]
    assert all("reason" in port for port in found.values())
    assert there.result() is None or there.result()["absent"], "nor does a guest with another token"


def test_a_guest_without_a_name_ends_the_meeting(meeting: Meeting, threads: ThreadPoolExecutor) -> None:
    began = time.monotonic()
    waiting = threads.submit(meeting.listen, {"h1"})
    assert all("ms" in port for port in meeting._replace(ports=meeting.ports[:1]).reach("")["ports"].values())
    waiting.result()
    assert time.monotonic() - began < 2.0
    with socket.create_server((meeting.address, meeting.ports[0])):
        pass
