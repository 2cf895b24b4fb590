"""One connection, many commands: its limits, its replacement, and servers that allow less than usual."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import DeadlinePassed, Unreachable
from fleet.ssh import Cmd, Deadline, Endpoint, Pool, Result, SshTransport, Watchdog, opened, opening, retried
from fleet.ssh.failures import ConnectionLost
from tests.farm.hosts import FarmHost
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import sh, soon, wait_for

TRUE = Cmd(("true",))
#: Tells how many of these commands run at the same time, as one byte for each, and holds on until enough do.
TOGETHER = 'echo x >> "$0"; until [ $(wc -l < "$0") -ge "$1" ]; do sleep 0.01; done; wc -l < "$0"'


def logins(host: FarmHost) -> int:
    """How often somebody has signed in."""
    return host.log.read_text().count("Accepted publickey")


def all_at_once(transports: list[SshTransport], cmd: Cmd) -> list[Result]:
    """Run a command on each, in threads."""
    with ThreadPoolExecutor(len(transports)) as threads:
        return list(threads.map(lambda one: one.exec(cmd, deadline=soon()), transports))


def test_threads_share_one_connection(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], tmp_path: Path
) -> None:
    host = farm(1).hosts[0]
    before = logins(host)
    box = pool.to(endpoint(host))
    results = all_at_once([box] * opened.CHANNELS, sh(TOGETHER, str(tmp_path / "here"), str(opened.CHANNELS)))
    assert [result.rc for result in results] == [0] * opened.CHANNELS
    assert logins(host) - before == 1
    assert pool.to(endpoint(host)) is box


def test_more_commands_wait_for_their_turn(box: SshTransport, tmp_path: Path) -> None:
    """Twenty at once, of which never more than six run: the count is of those that have begun and not ended."""
    text = 'echo >> "$0/$$"; ls "$0" | wc -l; sleep 0.05; rm "$0/$$"'
    (tmp_path / "running").mkdir()
    results = all_at_once([box] * 20, sh(text, str(tmp_path / "running")))
    counts = [int(result.out) for result in results]
    assert len(counts) == 20
    assert max(counts) <= opened.CHANNELS


def test_waiting_for_a_turn_has_a_deadline(box: SshTransport) -> None:
    outputs = [box.stream_out(Cmd(("cat",)), deadline=soon()) for _ in range(opened.CHANNELS)]
    with pytest.raises(DeadlinePassed, match="waiting for a free session on h0"):
        box.exec(TRUE, deadline=Deadline.after(0.2))
    outputs[0].close()
    assert box.exec(TRUE, deadline=soon()).ok
    for output in outputs:
        output.close()


def test_a_server_with_one_session(pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm]) -> None:
    box = pool.to(endpoint(farm(1, config=("MaxSessions 1",)).hosts[0]))
    assert [result.rc for result in all_at_once([box] * 8, TRUE)] == [0] * 8
    for _ in range(30):
        assert box.exec(TRUE, deadline=soon()).ok


def test_a_server_without_sessions(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "_PATIENCE", 0.3)
    box = pool.to(endpoint(farm(1, config=("MaxSessions 0",)).hosts[0]))
    with pytest.raises(Unreachable, match="refuses a session"):
        box.exec(TRUE, deadline=soon())


def greeting(host: FarmHost, idle: list[socket.socket]) -> bytes:
    """What a server says to one more connection, which then stays open without signing in."""
    idle.append(socket.create_connection((host.address, host.port), 10))
    return idle[-1].recv(4)


def test_a_server_that_drops_bursts(pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm]) -> None:
    """Two who do not sign in fill the server: it drops who comes then, until one of them leaves."""
    # sshd's answer is that of MaxStartups, of which it takes the farm's own line.
    host = farm(1, config=("PerSourceMaxStartups 2",)).hosts[0]
    with contextlib.ExitStack() as leaving:
        idle: list[socket.socket] = []
        assert [greeting(host, idle) == b"SSH-" for _ in range(3)] == [True, True, False]
        for one in idle[1:]:
            leaving.enter_context(one)
        timer = threading.Timer(0.3, idle[0].close)
        timer.start()
        assert pool.to(endpoint(host)).exec(TRUE, deadline=soon()).ok
        timer.join()
        # And for good: four attempts, within two seconds.
        assert greeting(host, idle) == b"SSH-"
        leaving.enter_context(idle[-1])
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no SSH greeting"):
            pool.to(endpoint(host, name="late")).exec(TRUE, deadline=soon())
        assert 0.4 < time.monotonic() - began < 2.5


def test_a_closed_port(pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm]) -> None:
    stopped = farm(1, fresh=True)
    stopped.stop_host(0)
    began = time.monotonic()
    with pytest.raises(Unreachable, match="Connection refused") as caught:
        pool.to(endpoint(stopped.hosts[0])).exec(TRUE, deadline=soon())
    assert caught.value.exit_code == 3
    assert time.monotonic() - began < 2
    with pytest.raises(Unreachable, match="has no address"):
        pool.to(endpoint(stopped.hosts[0], host="no-such-host.invalid")).exec(TRUE, deadline=soon())


def test_a_restarted_host_is_reached_again(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm]
) -> None:
    """The command that was running is lost; the next one connects anew, without its caller noticing."""
    restarting = farm(1, fresh=True)
    box = pool.to(endpoint(restarting.hosts[0]))
    with box.stream_out(sh("echo up; cat"), deadline=soon()) as output:
        pieces = iter(output)
        assert next(pieces) == b"up\n"
        restarting.restart_host(0)
        with pytest.raises(ConnectionLost, match="the connection to h0 was lost") as caught:
            next(pieces)
    assert (caught.value.exit_code, caught.value.retry) == (3, True)
    assert box.exec(TRUE, deadline=soon()).ok
    assert logins(restarting.hosts[0]) == 2


@pytest.mark.parametrize("count", range(3))
def test_a_connection_that_is_gone_before_the_command_begins(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], proxy: Callable[..., Any], count: int
) -> None:
    there = proxy(farm(1).hosts[0])
    box = pool.to(endpoint(farm(1).through(0, there)))
    assert box.exec(TRUE, deadline=soon()).ok
    there.close_all() if count % 2 else there.reset_all()
    assert box.exec(TRUE, deadline=soon()).ok


def test_what_only_reads_is_tried_again(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], proxy: Callable[..., Any]
) -> None:
    there = proxy(farm(1).hosts[0])
    box = pool.to(endpoint(farm(1).through(0, there)))
    box.open(soon())
    cuts = iter(range(2))

    def read() -> bytes:
        if next(cuts, None) is not None:
            there.cut_after(100_000, "rst", "down")
        return box.exec(sh("head -c 1000000 /dev/zero"), deadline=soon()).out

    assert retried(read, deadline=soon()) == bytes(1_000_000)
    assert there.connections == 3
    cuts = iter(range(3))
    with pytest.raises(ConnectionLost):
        retried(read, deadline=soon())


def test_a_worn_out_connection_is_replaced(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs on the old one goes on; the old one closes when that has ended."""
    monkeypatch.setattr(opened, "RECYCLE", 5)
    host = farm(1).hosts[0]
    before = logins(host)
    box = pool.to(endpoint(host, name="worn"))
    with box.stream_out(sh("echo up; cat; echo done"), deadline=soon()) as output:
        pieces = iter(output)
        assert next(pieces) == b"up\n"
        for _ in range(11):
            assert box.exec(TRUE, deadline=soon()).ok
        assert logins(host) - before == 3
        assert connections("worn") == 2
    wait_for(lambda: connections("worn") == 1)


def connections(name: str) -> int:
    """Open connections to a host, each of which has one thread."""
    return sum(thread.name == f"ssh {name}" for thread in threading.enumerate())


def test_who_waits_for_a_failing_connection_fails_with_it(
    pool: Pool,
    endpoint: Callable[..., Endpoint],
    farm: Callable[..., Farm],
    proxy: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight threads, one attempt: a host in a black hole does not take its time eight times over."""
    monkeypatch.setattr(opening, "BANNER", 0.4)
    monkeypatch.setattr(opening, "_AT_ONCE", 0.3)
    there = proxy(farm(1).hosts[0])
    box = pool.to(endpoint(farm(1).through(0, there), watchdog=Watchdog(0.3, 0.9)))
    there.hole()

    def attempt(_: int) -> str:
        with pytest.raises(Unreachable, match="no SSH greeting") as caught:
            box.exec(TRUE, deadline=soon())
        return str(caught.value)

    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(attempt, range(8)))
    assert len(told) == 8
    assert time.monotonic() - began < 3
    assert there.connections == 1
