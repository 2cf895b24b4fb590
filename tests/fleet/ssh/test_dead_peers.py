"""A peer that is gone without a word is noticed, everything that waited for it is freed, and no thread stays."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fleet.errors import DeadlinePassed, Unreachable
from fleet.ssh import Cmd, Deadline, Endpoint, Pool, SshTransport, Watchdog
from fleet.ssh.failures import ConnectionLost
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import sh, soon, wait_for

#: Seconds; the default is tested once, below.
QUICK = Watchdog(0.3, 0.9)
Verb = Callable[[SshTransport], object]


@pytest.fixture
def there(farm: Callable[..., Farm], proxy: Callable[..., Any]) -> Proxy:
    """A way to a host that can turn into a black hole."""
    way: Proxy = proxy(farm(1).hosts[0])
    return way


@pytest.fixture
def make(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], there: Proxy
) -> Callable[..., SshTransport]:
    """A connected transport over that way."""

    def connected(watchdog: Watchdog) -> SshTransport:
        box = pool.to(endpoint(farm(1).through(0, there), watchdog=watchdog))
        box.open(soon())
        return box

    return connected


def waiting(box: SshTransport) -> object:
    """A command that says nothing."""
    return box.exec(Cmd(("sleep", "2")), deadline=soon())


def feeding(box: SshTransport) -> object:
    """More input than fits anywhere."""
    return box.stream_in(sh("cat >/dev/null"), itertools.repeat(bytes(1 << 20)), deadline=soon())


def following(box: SshTransport) -> object:
    """Output that goes on and on."""
    with box.stream_out(sh("while sleep 0.01; do echo; done"), deadline=soon()) as output:
        return list(output)


@pytest.fixture
def threads() -> Iterator[None]:
    """No connection's thread is left at the end, before anybody closes anything."""
    yield
    wait_for(lambda: not [one for one in threading.enumerate() if one.name.startswith("ssh ")], 3)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("verb", [waiting, feeding, following])
def test_a_black_hole_is_noticed(make: Callable[..., SshTransport], there: Proxy, verb: Verb) -> None:
    box = make(QUICK)
    with ThreadPoolExecutor(1) as thread:
        lost = thread.submit(verb, box)
        time.sleep(0.2)
        began = time.monotonic()
        there.hole()
        with pytest.raises(ConnectionLost, match="no answer for 1 s"):
            lost.result(20)
    assert time.monotonic() - began < 3


@pytest.mark.usefixtures("threads")
def test_the_default_notices_within_ten_seconds(make: Callable[..., SshTransport], there: Proxy) -> None:
    """An idle connection too, whose next command then connects anew."""
    idle = make(Watchdog())
    there.hole()
    began = time.monotonic()
    wait_for(lambda: not [one for one in threading.enumerate() if one.name == f"ssh {idle.name}"], 10)
    assert 5 < time.monotonic() - began <= 10
    there.hole(False)
    assert idle.exec(Cmd(("true",)), deadline=soon()).ok
    idle.close()


def test_a_quiet_command_on_a_good_link_is_left_alone(make: Callable[..., SshTransport]) -> None:
    """Longer than the limit, without a byte from the command: the host's answers to our questions are enough."""
    assert make(QUICK).exec(sh("sleep 1.3; echo still here"), deadline=soon()).out == b"still here\n"


def test_a_slow_reader_is_no_dead_peer(make: Callable[..., SshTransport]) -> None:
    """The command takes its time to read: its window is full, and we have nothing to send but questions."""
    chunks = [bytes(1 << 20)] * 6
    assert make(QUICK).stream_in(sh("sleep 1.3; wc -c"), chunks, deadline=soon()).out.split() == [b"6291456"]


def test_a_process_that_was_stopped_does_not_blame_the_peer(make: Callable[..., SshTransport]) -> None:
    """The whole process sleeps for longer than the limit, as under a debugger; the connection is as good as before."""
    box = make(QUICK)
    if (child := os.fork()) == 0:
        time.sleep(0.2)
        os.kill(os.getppid(), signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    time.sleep(0.5)
    os.waitpid(child, 0)
    assert [one.name for one in threading.enumerate() if one.name == f"ssh {box.name}"]
    assert box.exec(Cmd(("true",)), deadline=soon()).ok


def test_a_server_that_is_stopped(pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm]) -> None:
    """Its kernel goes on to acknowledge, so only an unanswered question tells; then a new connection serves."""
    stopped = farm(1, fresh=True)
    box = pool.to(endpoint(stopped.hosts[0], watchdog=QUICK))
    box.open(soon())
    [session] = [int(pid) for pid in box.exec(sh("echo $PPID"), deadline=soon()).out.split()]
    os.kill(session, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert box.exec(Cmd(("true",)), deadline=soon()).ok
        assert 0.5 < time.monotonic() - began < 3
    finally:
        os.kill(session, signal.SIGCONT)
    assert stopped.hosts[0].log.read_text().count("Accepted publickey") == 2


@pytest.mark.usefixtures("threads")
def test_no_greeting_is_a_failure_within_the_deadline(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], there: Proxy
) -> None:
    there.hole()
    box = pool.to(endpoint(farm(1).through(0, there)))
    began = time.monotonic()
    with pytest.raises(DeadlinePassed, match="exchanging keys with h0 did not end within 1 s"):
        box.exec(Cmd(("true",)), deadline=Deadline.after(1))
    assert time.monotonic() - began < 2


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("mode", ["close", "rst", "hole"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_anywhere_in_the_handshake_ends_in_an_error(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], there: Proxy, mode: Any, direction: Any
) -> None:
    """Several places in turn. Whatever else were raised would fail this test."""
    step = 300 if mode != "hole" else 1100
    for count in range(10, 2400, step):
        there.cut_after(count, mode, direction)
        box = pool.to(endpoint(farm(1).through(0, there), name=f"h{count}", watchdog=QUICK))
        with contextlib.suppress(Unreachable, DeadlinePassed):
            box.exec(sh("head -c 3000 /dev/zero"), deadline=Deadline.after(0.7 if mode == "hole" else 10))
        box.close()
    there.disarm()
