"""Hosts behind hosts, and hosts behind a local command: the same verbs, and every key on the way is checked."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import DeadlinePassed, HostKeyRefused, Unreachable
from fleet.ssh import Cmd, Deadline, Endpoint, Pool, SshTransport, Watchdog, route
from fleet.ssh.failures import ConnectionLost
from tests.farm.hosts import FarmHost
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import sh, soon, wait_for

TRUE = Cmd(("true",))


@pytest.fixture
def hosts(farm: Callable[..., Farm]) -> list[FarmHost]:
    """A gate, a second one, and two hosts behind them."""
    return farm(4).hosts


def logins(host: FarmHost) -> int:
    """How often somebody has signed in."""
    return host.log.read_text().count("Accepted publickey")


def came_from(transport: SshTransport) -> str:
    """The address from which the host was reached."""
    return transport.exec(sh("set -- $SSH_CONNECTION; echo $1 $3"), deadline=soon()).out.decode()


def test_two_hops(pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost]) -> None:
    first, second, far = (endpoint(host) for host in hosts[:3])
    before = [logins(host) for host in hosts[:3]]
    box = pool.to(replace(far, jump=(first, second)))
    assert box.exec(sh("echo $FLEET_HOST"), deadline=soon()).out == b"h2\n"
    data = bytes(range(256)) * 10_000
    assert box.exec(Cmd(("cat",)), stdin=data, deadline=soon()).out == data
    assert [logins(host) - count for host, count in zip(hosts, before, strict=False)] == [1, 1, 1]


def test_hosts_share_their_jump_host(pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost]) -> None:
    before = logins(hosts[0])
    gate = endpoint(hosts[0])
    for host in hosts[2:]:
        assert pool.to(endpoint(host, jump=(gate,))).exec(TRUE, deadline=soon()).ok
    assert pool.to(gate).exec(TRUE, deadline=soon()).ok
    assert logins(hosts[0]) - before == 1


def test_the_key_of_a_hop_is_checked(pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost]) -> None:
    """Nothing is tried beyond a hop that is not to be trusted, whose key is the one to be named."""
    before = hosts[2].log.read_text().count("Connection from")
    gate = endpoint(hosts[0], host_key=hosts[1].host_key)
    with pytest.raises(HostKeyRefused) as caught:
        pool.to(endpoint(hosts[2], jump=(gate,))).exec(TRUE, deadline=soon())
    assert caught.value.host == "h0"
    assert hosts[2].log.read_text().count("Connection from") == before


def test_the_key_behind_a_hop_is_checked(pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost]) -> None:
    far = endpoint(hosts[2], known_hosts=(), jump=(endpoint(hosts[0]),))
    with pytest.raises(HostKeyRefused) as caught:
        pool.to(far).exec(TRUE, deadline=soon())
    assert caught.value.host == "h2"
    assert hosts[2].host_key in caught.value.what
    assert pool.presented(far, soon()).fingerprint == hosts[2].host_key


def test_jumps_of_the_configuration(
    pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost], user_files: Path
) -> None:
    """`ProxyJump` with two hops, each under an alias with settings of its own."""
    aliases = "".join(
        f"Host {name}\n  HostName {host.address}\n  Port {host.port}\n  IdentityFile {host.identity}\n"
        for name, host in zip(("first", "second"), hosts, strict=False)
    )
    config = user_files / "config"
    far = f"Host far\n  HostName {hosts[2].address}\n  Port {hosts[2].port}\n  ProxyJump {hosts[0].user}@first,second\n"
    config.write_text(config.read_text() + aliases + far)
    where = endpoint(hosts[2], name="far", host="far", port=None)
    assert [hop.name for hop in route(where)] == [f"{hosts[0].user}@first", "second", "far"]
    assert pool.to(where).exec(sh("echo $FLEET_HOST"), deadline=soon()).out == b"h2\n"
    unknown = endpoint(hosts[2], name="far", host="far", port=None, known_hosts=())
    with pytest.raises(HostKeyRefused, match="first") as caught:
        pool.to(unknown).exec(TRUE, deadline=soon())
    assert "fleet trust far" in caught.value.fix


def test_a_hop_that_cannot_reach_the_host(pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost]) -> None:
    closed = endpoint(hosts[2], port=1, jump=(endpoint(hosts[0]),))
    with pytest.raises(Unreachable, match=r"connecting from h0 to .* port 1"):
        pool.to(closed).exec(TRUE, deadline=soon())


def test_a_gate_that_does_not_forward(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], hosts: list[FarmHost]
) -> None:
    gate = endpoint(farm(1, config=("AllowTcpForwarding no",)).hosts[0])
    with pytest.raises(Unreachable, match=r"from h0 to .*: .*prohibited"):
        pool.to(endpoint(hosts[2], jump=(gate,))).exec(TRUE, deadline=soon())


def test_a_lost_hop_loses_what_is_behind_it_and_comes_back(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], hosts: list[FarmHost]
) -> None:
    gates = farm(1, fresh=True)
    box = pool.to(endpoint(hosts[2], jump=(endpoint(gates.hosts[0]),)))
    with box.stream_out(sh("echo up; cat"), deadline=soon()) as output:
        pieces = iter(output)
        assert next(pieces) == b"up\n"
        gates.restart_host(0)
        with pytest.raises(ConnectionLost):
            next(pieces)
    assert box.exec(TRUE, deadline=soon()).ok


def test_a_black_hole_in_front_of_the_gate(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], proxy: Callable[..., Any]
) -> None:
    quick = Watchdog(0.3, 0.9)
    there = proxy(farm(4).hosts[0])
    gate = endpoint(farm(4).through(0, there), watchdog=quick)
    box = pool.to(endpoint(farm(4).hosts[2], jump=(gate,), watchdog=quick))
    with box.stream_out(sh("echo up; cat"), deadline=soon()) as output:
        pieces = iter(output)
        assert next(pieces) == b"up\n"
        there.hole()
        with pytest.raises(ConnectionLost):
            next(pieces)
    wait_for(lambda: not [one for one in threading.enumerate() if one.name.startswith("ssh ")], 3)


PIPE = """
import os, selectors, socket, sys
sys.stderr.write("complaint\\n" * 20000)
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as far, selectors.DefaultSelector() as ready:
    ready.register(0, selectors.EVENT_READ)
    ready.register(far, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            data = os.read(0, 65536) if key.fd == 0 else far.recv(65536)
            if not data:
                sys.exit(0)
            far.sendall(data) if key.fd == 0 else os.write(1, data)
"""


def behind(command: str, user_files: Path, endpoint: Callable[..., Endpoint], host: FarmHost) -> Endpoint:
    """The endpoint of a host that is reached through a local command."""
    config = user_files / "config"
    config.write_text(config.read_text() + f"ProxyCommand {command}\n")
    return endpoint(host)


def running(script: Path) -> bool:
    """Whether a process with this script is there."""
    return subprocess.run(["pgrep", "-f", str(script)], capture_output=True).returncode == 0


def test_a_local_command_leads_to_the_host(
    pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost], user_files: Path, tmp_path: Path
) -> None:
    """It complains more than a pipe holds, and is gone when the connection is closed."""
    script = tmp_path / "pipe.py"
    script.write_text(PIPE)
    box = pool.to(behind(f"{sys.executable} {script} %h %p", user_files, endpoint, hosts[0]))
    data = bytes(range(256)) * 20_000
    assert box.exec(Cmd(("cat",)), stdin=data, deadline=soon()).out == data
    assert running(script)
    box.close()
    wait_for(lambda: not running(script), 3)


def test_a_local_command_that_fails_is_quoted(
    pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost], user_files: Path
) -> None:
    where = behind("sh -c 'echo no way to %h >&2; exit 1'", user_files, endpoint, hosts[0])
    with pytest.raises(Unreachable, match=f"no way to {hosts[0].address}"):
        pool.to(where).exec(TRUE, deadline=soon())


def test_a_local_command_that_does_not_end_is_killed(
    pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost], user_files: Path, tmp_path: Path
) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)\n")
    where = behind(f"{sys.executable} {script}", user_files, endpoint, hosts[0])
    with pytest.raises(DeadlinePassed, match="exchanging keys with h0 did not end"):
        pool.to(where).exec(TRUE, deadline=Deadline.after(0.4))
    wait_for(lambda: not running(script), 3)
