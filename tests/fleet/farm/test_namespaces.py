"""Hosts in namespaces have networks that can be cut and limited, and leave nothing behind."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.farm.namespaces import Namespaces

pytestmark = [pytest.mark.needs("sshd"), pytest.mark.needs("netns")]


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def test_hosts_know_their_names_and_each_other(namespaces: Callable[..., Namespaces]) -> None:
    hosts = namespaces(2).hosts
    for host, other in (hosts, hosts[::-1]):
        shown = host.ssh(f"uname -n; pwd; getent hosts {other.name}; exec 3<>/dev/tcp/{other.name}/22; head -c 8 <&3")
        lines = shown.stdout.decode().split("\n")
        assert host.ssh("timeout 1 getent hosts nowhere.example.com").returncode == 2
        assert lines[:2] == [host.name, str(host.home)]
        assert lines[2].split() == [other.address, other.name]
        assert lines[3] == "SSH-2.0-"
        assert host.port == 22


def test_a_link_that_is_down_swallows_everything(namespaces: Callable[..., Namespaces]) -> None:
    farm = namespaces(2)
    host = farm.hosts[0]
    talking = subprocess.Popen([*host.ssh_command(), host.address, "cat"], stdin=-1, stdout=-1)
    assert talking.stdin is not None and talking.stdout is not None
    talking.stdin.write(b"one\n")
    talking.stdin.flush()
    assert talking.stdout.readline() == b"one\n"
    farm.link(0, up=False)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            host.ssh("true", timeout=0.5)
        assert farm.hosts[1].ssh("true").returncode == 0
        talking.stdin.write(b"two\n")
        talking.stdin.flush()
    finally:
        farm.link(0, up=True)
    # TCP repeats what was lost: a link that comes back in time breaks nothing.
    assert talking.communicate(timeout=30)[0] == b"two\n"


def test_the_rate_is_limited(namespaces: Callable[..., Namespaces]) -> None:
    farm = namespaces(2)
    farm.rate(0, 8)
    try:
        started = time.monotonic()
        assert len(farm.hosts[0].ssh("head -c 500000 /dev/zero").stdout) == 500_000
        assert time.monotonic() - started > 0.4
    finally:
        farm.rate(0, None)


def test_a_resolver_may_be_silent(namespaces: Callable[..., Namespaces]) -> None:
    farm = namespaces(1, fresh=True, silent_resolver=True)
    [host] = farm.hosts
    # 124 is the status of `timeout` when time ran out; the resolver itself would wait for 5 s and more.
    assert host.ssh("timeout 1 getent hosts nowhere.example.com").returncode == 124
    assert host.ssh("timeout 1 getent ahostsv4 h0").returncode == 0
    farm.close()


def test_an_address_can_change(namespaces: Callable[..., Namespaces]) -> None:
    farm = namespaces(1, fresh=True)
    before = farm.hosts[0]
    after = farm.new_address(0, 77)
    assert after.address != before.address
    assert after.ssh("uname -n").stdout == b"h0\n"
    farm.close()


def test_nothing_is_left_behind(namespaces: Callable[..., Namespaces]) -> None:
    ip = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert ip is not None
    before = interfaces(), set(subprocess.check_output([ip, "netns"]).split(b"\n"))
    farm = namespaces(3, fresh=True)
    assert interfaces() != before[0]
    assert farm.hosts[2].ssh("true").returncode == 0
    assert farm.close() == []
    assert (interfaces(), set(subprocess.check_output([ip, "netns"]).split(b"\n"))) == before
    assert not Path("/etc/netns", farm.namespace(0)).exists()
