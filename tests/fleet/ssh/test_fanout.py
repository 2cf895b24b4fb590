"""Many hosts at once: outcomes as they come, bugs not hidden, and nobody delayed by one that hangs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.errors import DeadlinePassed, Unreachable
from fleet.ssh import Cmd, Deadline, Endpoint, Outcome, Pool, fan_out
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import SOON, soon, wait_for


def failing(name: str) -> str:
    """A job that some hosts fail."""
    if int(name) % 3 == 0:
        raise Unreachable(f"{name} is away", why="it is", fix="none", example="none")
    return name * 2


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 40), jobs=st.integers(1, 50))
def test_every_name_has_one_outcome(count: int, jobs: int) -> None:
    names = [str(number) for number in range(count)]
    outcomes = {one.name: one for one in fan_out(names, failing, jobs=jobs, deadline=soon())}
    assert sorted(outcomes) == sorted(names)
    for name, one in outcomes.items():
        assert one.ok is (int(name) % 3 != 0)
        assert one.value == (name * 2 if one.ok else None)
        assert one.error is None or (one.error.host, one.error.exit_code) == (name, 3)
        assert one.seconds >= 0


def test_no_more_than_the_allowed_number_at_once() -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def job(name: str) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    assert len(list(fan_out([str(one) for one in range(30)], job, jobs=4, deadline=soon()))) == 30
    assert most[0] == 4


def test_outcomes_come_as_they_are_ready() -> None:
    released = threading.Event()
    outcomes = fan_out(["slow", "fast"], lambda name: name == "fast" or released.wait(SOON), deadline=soon())
    assert next(outcomes).name == "fast"
    released.set()
    assert next(outcomes).name == "slow"
    assert next(outcomes, None) is None


def test_who_hangs_is_given_up_at_the_deadline() -> None:
    """With one thread, who never got a turn is told of too."""
    released = threading.Event()
    began = time.monotonic()

    def job(name: str) -> bool:
        return name == "quick" or released.wait(SOON)

    outcomes: list[Outcome[bool]] = list(fan_out(["quick", "hung", "late"], job, jobs=1, deadline=Deadline.after(0.3)))
    assert time.monotonic() - began < 2
    released.set()
    assert [(one.name, type(one.error)) for one in outcomes] == [
        ("quick", type(None)),
        ("hung", DeadlinePassed),
        ("late", DeadlinePassed),
    ]
    assert outcomes[1].error is not None
    assert outcomes[1].error.host == "hung"
    assert "hung" in outcomes[1].error.what
    assert outcomes[1].seconds >= 0.2
    wait_for(lambda: not [one for one in threading.enumerate() if one.name.startswith("fan-out")])


def test_a_bug_is_raised_where_somebody_sees_it() -> None:
    def job(name: str) -> str:
        return {"good": "value"}[name]

    with pytest.raises(KeyError, match="bad"):
        list(fan_out(["good", "bad"], job, deadline=soon()))


def test_who_stops_listening_stops_what_has_not_begun() -> None:
    begun: list[str] = []

    def job(name: str) -> None:
        begun.append(name)
        time.sleep(0.02)

    outcomes = fan_out([str(one) for one in range(50)], job, jobs=2, deadline=soon())
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    wait_for(lambda: not [one for one in threading.enumerate() if one.name.startswith("fan-out")])
    assert len(begun) < 10


def test_a_hung_host_keeps_no_process_alive(root: Path) -> None:
    code = """
import time
from fleet.ssh import Deadline, fan_out
print([one.name for one in fan_out(["hung"], lambda name: time.sleep(60), deadline=Deadline.after(0.2))])
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=SOON)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['hung']\n", "")
    assert time.monotonic() - began < 10


def test_one_host_in_a_black_hole_delays_nobody(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], proxy: Callable[..., Any]
) -> None:
    hosts = farm(6).hosts
    there = proxy(hosts[0])
    there.hole()
    where = {host.name: endpoint(host) for host in hosts} | {"h0": endpoint(farm(6).through(0, there))}
    deadline, ready = Deadline.after(1.2), []

    def job(name: str) -> bytes:
        return pool.to(where[name]).exec(Cmd(("echo", name)), deadline=deadline).out

    began = time.monotonic()
    outcomes = {}
    for outcome in fan_out(where, job, deadline=deadline):
        outcomes[outcome.name] = outcome
        ready.append(time.monotonic() - began)
    assert {name: one.value for name, one in outcomes.items() if one.ok} == {
        f"h{n}": f"h{n}\n".encode() for n in range(1, 6)
    }
    assert isinstance(outcomes["h0"].error, DeadlinePassed)
    # The others came while the hung one still had most of its time.
    assert ready[4] < 1.0
    assert 1.1 < ready[5] < 4
