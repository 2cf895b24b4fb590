"""A peer that is gone without a word is noticed, everything that waited for it is freed, and no thread stays."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import DeadlinePassed, Unreachable
from fleet.ssh import Cmd, Deadline, Endpoint, Pool, SshTransport, Watchdog
from fleet.ssh.failures import ConnectionLost
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import SOON, sh, soon, wait_for

#: Seconds; the default is tested once, below.
QUICK = Watchdog(0.3, 0.9)


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

    def connected(watchdog: Watchdog, name: str = "h0") -> SshTransport:
        box = pool.to(endpoint(farm(1).through(0, there), name=name, watchdog=watchdog))
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
    wait_for(lambda: not [one for one in threading.enumerate() if one.name.startswith("ssh h")], 3)


@pytest.mark.usefixtures("threads")
def test_a_black_hole_is_noticed(make: Callable[..., SshTransport], there: Proxy) -> None:
    """By each of three connections, whatever it was doing."""
    boxes = {verb: make(QUICK, f"h-{verb.__name__}") for verb in (waiting, feeding, following)}
    with ThreadPoolExecutor(3) as threads:
        lost = [threads.submit(verb, box) for verb, box in boxes.items()]
        time.sleep(0.2)
        began = time.monotonic()
        there.hole()
        for one in lost:
            with pytest.raises(ConnectionLost, match="no answer for 1 s"):
                one.result(SOON)
    assert time.monotonic() - began < 3


@pytest.mark.usefixtures("threads")
def test_a_deadline_is_kept_in_a_black_hole(make: Callable[..., SshTransport], there: Proxy) -> None:
    """Although the socket is full, and the default watchdog would take six seconds."""
    box = make(Watchdog(2.0, 3.0))
    there.hole()
    began = time.monotonic()
    with pytest.raises(DeadlinePassed):
        box.stream_in(sh("cat >/dev/null"), itertools.repeat(bytes(1 << 20)), deadline=Deadline.after(0.5))
    assert time.monotonic() - began < 1.5
    box.close()


def test_closing_does_not_wait_for_who_is_connecting(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], there: Proxy
) -> None:
    """As at the end of a command that gave up on a hung host."""
    there.hole()
    box = pool.to(endpoint(farm(1).through(0, there)))
    with ThreadPoolExecutor(1) as thread:
        hung = thread.submit(box.open, Deadline.after(0.6))
        wait_for(lambda: there.connections)
        began = time.monotonic()
        pool.close()
        assert time.monotonic() - began < 0.5
        there.hole(False)
        there.close_all()
        with pytest.raises((ConnectionLost, DeadlinePassed)):
            hung.result(SOON)


def test_a_good_link_is_left_alone(make: Callable[..., SshTransport]) -> None:
    """For longer than the limit, a command says nothing, and another one does not read what it is sent: its window is
    full, and we have nothing to send but questions. The host's answers to them are enough.
    """
    quiet, slow = make(QUICK, "h-quiet"), make(QUICK, "h-slow")
    chunks = [bytes(1 << 20)] * 6
    with ThreadPoolExecutor(2) as threads:
        said = threads.submit(quiet.exec, sh("sleep 1.3; echo still here"), deadline=soon())
        counted = threads.submit(slow.stream_in, sh("sleep 1.3; wc -c"), chunks, deadline=soon())
        assert said.result().out == b"still here\n"
        assert counted.result().out.split() == [b"6291456"]


LISTENER = """
import sys
from pathlib import Path
from fleet.ssh import Cmd, Deadline, Endpoint, Pool, Watchdog

host, port, user, identity, known, config = sys.argv[1:]
where = Endpoint("h0", host, int(port), user, Path(identity), known_hosts=(Path(known),), ssh_config=Path(config),
                 watchdog=Watchdog(0.3, 0.9))
with Pool({"h0": where}) as pool:
    box = pool.get("h0", Deadline.after(20))
    wire = box.open(Deadline.after(20))
    print("up", flush=True)
    sys.stdin.readline()
    print("alive" if wire.is_active() else wire.link.failure, flush=True)
"""


def test_a_process_that_was_stopped_does_not_blame_the_peer(
    farm: Callable[..., Farm], user_files: Path, root: Path
) -> None:
    """The whole process sleeps for longer than the limit, as under a debugger; the connection is as good as before."""
    host = farm(1).hosts[0]
    config = user_files / "config"
    where = [host.address, str(host.port), host.user, str(host.identity), str(host.known_hosts), str(config)]
    command = [sys.executable, "-c", LISTENER, *where]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdin is not None
        assert listener.stdout is not None
        assert listener.stdout.readline() == "up\n"
        listener.send_signal(signal.SIGSTOP)
        time.sleep(1.3)
        listener.send_signal(signal.SIGCONT)
        time.sleep(0.4)
        listener.stdin.write("\n")
        listener.stdin.flush()
        assert listener.stdout.readline() == "alive\n"


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
    with pytest.raises(DeadlinePassed, match=r"exchanging keys with h0 did not end within 0\.4 s"):
        box.exec(Cmd(("true",)), deadline=Deadline.after(0.4))
    assert time.monotonic() - began < 2


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("mode", ["close", "rst", "hole"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_anywhere_in_the_handshake_ends_in_an_error(
    pool: Pool,
    endpoint: Callable[..., Endpoint],
    farm: Callable[..., Farm],
    proxy: Callable[..., Any],
    mode: Any,
    direction: Any,
) -> None:
    """Several places at once. Whatever else were raised would fail this test."""

    def cut(there: Proxy, count: int) -> None:
        there.cut_after(count, mode, direction)
        box = pool.to(endpoint(farm(1).through(0, there), name=f"h{count}", watchdog=QUICK))
        with contextlib.suppress(Unreachable, DeadlinePassed):
            box.exec(sh("head -c 3000 /dev/zero"), deadline=Deadline.after(0.8 if mode == "hole" else 10))
        box.close()
        assert there.has_cut

    with ThreadPoolExecutor(8) as threads:
        counts = range(10, 1100, 155)
        list(threads.map(cut, [proxy(farm(1).hosts[0]) for _ in counts], counts))


def test_the_default_notices_within_ten_seconds(fading: Fading) -> None:
    """An idle connection that went into a black hole when the tests above began; its next command connects anew."""
    assert 5 < fading.noticed.result(SOON) <= 10
    fading.there.hole(False)
    assert fading.box.exec(Cmd(("true",)), deadline=soon()).ok


@dataclass
class Fading:
    """A connection with the default watchdog whose peer is gone without a word."""

    box: SshTransport
    there: Proxy
    noticed: Future[float]
    """Seconds until its thread had ended."""


@pytest.fixture(scope="module", autouse=True)
def fading(farm: Callable[..., Farm], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fading]:
    """It fades while the other tests of this file run."""
    host = farm(1).hosts[0]
    config = tmp_path_factory.mktemp("fading") / "config"
    config.write_text("IdentityAgent none\n")
    with Proxy(host.address, host.port) as there, Pool({}) as pool, ThreadPoolExecutor(1) as watcher:
        way = farm(1).through(0, there)
        where = Endpoint(
            "fading", way.address, way.port, way.user, way.identity, known_hosts=(way.known_hosts,), ssh_config=config
        )
        box = pool.to(where)
        box.open(soon())
        there.hole()
        yield Fading(box, there, watcher.submit(until_gone, "ssh fading"))


def until_gone(thread: str) -> float:
    """Seconds until no thread has that name."""
    began = time.monotonic()
    wait_for(lambda: thread not in {one.name for one in threading.enumerate()})
    return time.monotonic() - began
