"""`fleet ssh`: OpenSSH in our place, strict about the same keys, and a terminal of our own where it is missing."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.errors import HostKeyRefused
from fleet.ssh import Endpoint, Pool
from fleet.ssh.configuration import find_ssh
from fleet.ssh.openssh import ssh_command
from tests.farm.hosts import FarmHost
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import SOON, soon


@pytest.fixture
def hosts(farm: Callable[..., Farm]) -> list[FarmHost]:
    """Hosts that know each other only through fleet."""
    return farm(4).hosts


def argv(pool: Pool, endpoint: Endpoint) -> list[str]:
    """The command line of OpenSSH's client."""
    ssh = find_ssh()
    assert ssh is not None
    return ssh_command(ssh, endpoint, pool, soon())


def ssh(pool: Pool, endpoint: Endpoint, command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command over OpenSSH as fleet calls it; it may ask nobody anything."""
    line = argv(pool, endpoint)
    return subprocess.run([*line[:-1], "-o", "BatchMode=yes", line[-1], command], capture_output=True, timeout=SOON)


def test_openssh_trusts_what_fleet_trusts(pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost]) -> None:
    where = endpoint(hosts[0])
    done = ssh(pool, where, "echo $FLEET_HOST")
    assert (done.returncode, done.stdout) == (0, b"h0\n"), done.stderr
    assert "StrictHostKeyChecking=yes" in argv(pool, where)
    assert "GlobalKnownHostsFile=none" in argv(pool, where)
    # What it learns of a host is not for our file.
    before = hosts[0].known_hosts.read_bytes()
    assert ssh(pool, where, "true").returncode == 0
    assert hosts[0].known_hosts.read_bytes() == before


def test_openssh_refuses_a_changed_key(
    pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost], tmp_path: Path
) -> None:
    other = (hosts[1].home.parent / "host_key.pub").read_text()
    (tmp_path / "known").write_text(f"[{hosts[0].address}]:{hosts[0].port} {other}\n")
    done = ssh(pool, endpoint(hosts[0], known_hosts=(tmp_path / "known",)), "true")
    assert done.returncode == 255
    assert b"Host key verification failed" in done.stderr


def test_an_unknown_host_is_refused_by_us_with_its_print(
    pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost], tmp_path: Path
) -> None:
    with pytest.raises(HostKeyRefused, match="unknown") as caught:
        argv(pool, endpoint(hosts[0], known_hosts=(tmp_path / ".fleet" / "known_hosts",)))
    assert hosts[0].host_key in caught.value.what


def test_a_revoked_key_of_the_users_files_counts(
    pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost], user_files: Path
) -> None:
    public = (hosts[0].home.parent / "host_key.pub").read_text()
    (user_files / "known_hosts").write_text(f"@revoked * {public}")
    with pytest.raises(HostKeyRefused, match="revoked"):
        argv(pool, endpoint(hosts[0]))


def test_a_pin_is_strict_too(
    pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost], tmp_path: Path
) -> None:
    file = tmp_path / "a folder" / "known_hosts"
    pinned = endpoint(hosts[0], known_hosts=(file,), host_key=hosts[0].host_key)
    assert ssh(pool, pinned, "echo $FLEET_HOST").stdout == b"h0\n"
    with pytest.raises(HostKeyRefused, match="pinned"):
        argv(pool, replace(pinned, host_key=hosts[1].host_key))


def test_hops_are_checked_like_hosts(
    pool: Pool, endpoint: Callable[..., Endpoint], hosts: list[FarmHost], tmp_path: Path
) -> None:
    way = tuple(endpoint(host) for host in hosts[:2])
    done = ssh(pool, endpoint(hosts[2], jump=way), "echo $FLEET_HOST")
    assert (done.returncode, done.stdout) == (0, b"h2\n"), done.stderr
    with pytest.raises(HostKeyRefused, match="pinned"):
        argv(pool, endpoint(hosts[2], jump=(way[0], replace(way[1], host_key=hosts[0].host_key))))


ENTER = """
import json, sys
from pathlib import Path
from fleet.ssh import Cmd, Deadline, Endpoint, Pool, configuration
from fleet.ssh.terminal import enter

given = json.loads(sys.argv[1])
if not given["openssh"]:
    configuration.find_ssh.cache_clear()
    import shutil
    shutil.which = lambda name: None
where = Endpoint("h0", given["host"], given["port"], given["user"], Path(given["identity"]),
                 known_hosts=(Path(given["known_hosts"]),), ssh_config=Path(given["config"]))
with Pool({}) as pool:
    command = Cmd(tuple(given["command"])) if given["command"] else None
    status = enter(pool, where, command, Deadline.after(20))
print("back with", status)
sys.exit(status)
"""


def arguments(host: FarmHost, user_files: Path, *, openssh: bool, command: list[str]) -> list[str]:
    """A process that enters a host."""
    import json

    given = {"host": host.address, "port": host.port, "user": host.user, "identity": str(host.identity)}
    more = {"known_hosts": str(host.known_hosts), "config": str(user_files / "config")}
    return [sys.executable, "-c", ENTER, json.dumps({**given, **more, "openssh": openssh, "command": command})]


@pytest.mark.parametrize("openssh", [True, False])
def test_one_command(hosts: list[FarmHost], user_files: Path, root: Path, openssh: bool) -> None:
    """With OpenSSH the process becomes `ssh`, so nothing of ours comes after it."""
    command = ["sh", "-c", 'echo "$0"; echo err >&2; exit 7', "a  b"]
    line = arguments(hosts[0], user_files, openssh=openssh, command=command)
    done = subprocess.run(line, cwd=root, capture_output=True, timeout=SOON, stdin=subprocess.DEVNULL)
    assert done.returncode == 7
    assert done.stdout == (b"a  b\n" if openssh else b"a  b\nback with 7\n")
    assert done.stderr == b"err\n"


@pytest.mark.parametrize("openssh", [True, False])
def test_a_terminal(hosts: list[FarmHost], user_files: Path, root: Path, openssh: bool) -> None:
    """A shell that believes to be on a terminal, and whose status comes back."""
    line = arguments(hosts[0], user_files, openssh=openssh, command=[])
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(root)
        os.execv(line[0], line)
    said, began = read_until(master, b"$ ", b"# "), time.monotonic()
    # What is typed in the moment in which the terminal changes its mode is dropped, as by any program that does so.
    while b"on a terminal of h0" not in said:
        os.write(master, b"test -t 0 && echo on a term''inal of $FLEET_HOST\n")
        said += read_until(master, b"on a terminal of h0", seconds=2)
        assert time.monotonic() - began < SOON, said.decode(errors="replace")
    os.write(master, b"exit 5\n")
    said += read_until(master)
    _, status = os.waitpid(pid, 0)
    os.close(master)
    assert os.waitstatus_to_exitcode(status) == 5, said.decode(errors="replace")


def read_until(master: int, *marks: bytes, seconds: float = SOON) -> bytes:
    """What the terminal shows, up to one of the marks, to its end, or for so many seconds."""
    said, until = b"", time.monotonic() + seconds
    while not any(mark in said for mark in marks) and time.monotonic() < until:
        if not select.select([master], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(master, 4096)
        except OSError:
            piece = b""
        if not piece:
            assert not marks, said.decode(errors="replace")
            break
        said += piece
    return said
