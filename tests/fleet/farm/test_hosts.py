"""The farm's promises: each host has its own address, key, home and environment, and ends when told."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.farm.processes import process
from tests.farm.sshd import Farm

pytestmark = pytest.mark.needs("sshd")


def test_hosts_are_apart(farm: Callable[..., Farm]) -> None:
    hosts = farm(3).hosts
    assert len({host.address for host in hosts}) == len({host.host_key for host in hosts}) == 3
    for host in hosts:
        told = host.ssh('pwd; echo "$HOME"; echo "$FLEET_HOST"').stdout.decode().split()
        assert told == [str(host.home), str(host.home), host.name]


def test_the_environment_is_a_login_s(farm: Callable[..., Farm], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_CANARY", "not for hosts")
    [host] = farm(1).hosts
    names = {line.partition("=")[0] for line in host.ssh("env").stdout.decode().splitlines()}
    assert "SSH_CONNECTION" in names
    assert not names & {"FLEET_CANARY", "BASH_ENV", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST"}


def test_status_signal_and_both_outputs_come_back(farm: Callable[..., Farm]) -> None:
    [host] = farm(1).hosts
    done = host.ssh("cat; echo wrong >&2; exit 7", stdin=bytes(range(256)))
    assert (done.returncode, done.stdout, done.stderr) == (7, bytes(range(256)), b"wrong\n")


def test_a_hundred_hosts_answer(farm: Callable[..., Farm]) -> None:
    hundred = farm(100, fresh=True)
    hosts = hundred.hosts
    running = [
        subprocess.Popen([*host.ssh_command(), host.address, "echo $FLEET_HOST"], stdout=subprocess.PIPE, text=True)
        for host in hosts[::20]
    ]
    assert [one.communicate(timeout=60)[0].strip() for one in running] == [host.name for host in hosts[::20]]
    hundred.close()


def test_sftp_starts_at_home(farm: Callable[..., Farm], tmp_path: Path) -> None:
    [host] = farm(1).hosts
    (tmp_path / "sent").write_bytes(b"\0data")
    target = f"{host.address}:arrived"
    subprocess.run([*host.ssh_command(program="scp"), str(tmp_path / "sent"), target], check=True, capture_output=True)
    assert (host.home / "arrived").read_bytes() == b"\0data"


def test_options_reach_sshd(farm: Callable[..., Farm], tmp_path: Path) -> None:
    (tmp_path / "greet").write_text("#!/bin/sh\necho hello from $FLEET_HOST\n")
    (tmp_path / "greet").chmod(0o755)
    [host] = farm(1, fresh=True, path_first=tmp_path, config=("ForceCommand greet",), env={"EXTRA": "a b"}).hosts
    assert host.ssh("anything").stdout == b"hello from h0\n"
    log = host.log.read_text()
    assert "Accepted publickey" in log


def test_a_stopped_host_refuses_and_comes_back(farm: Callable[..., Farm]) -> None:
    hosts = farm(2, fresh=True)
    first, second = hosts.hosts
    talking = subprocess.Popen(
        [*first.ssh_command(), first.address, "echo on; exec sleep 50"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert talking.stdout is not None and talking.stdout.readline() == b"on\n"
    hosts.stop_host(0)
    talking.communicate(timeout=10)
    assert talking.returncode == 255
    assert first.ssh("true").returncode == 255
    assert second.ssh("true").returncode == 0
    # What ran there goes on without its connection, as on a real host.
    assert any("sleep" in one.argv() for one in first.processes())
    hosts.restart_host(0)
    assert first.ssh("true").returncode == 0
    assert any("sleep 50" in told for told in hosts.close())
    assert not first.processes()


def test_another_host_key_is_refused(farm: Callable[..., Farm]) -> None:
    hosts = farm(1, fresh=True)
    before = hosts.hosts[0]
    after = hosts.new_host_key(0)
    assert after.host_key != before.host_key and (after.address, after.port) == (before.address, before.port)
    refused = after.ssh("true")
    assert refused.returncode == 255 and after.host_key.encode() in refused.stderr
    hosts.trust(0, after.address, after.port)
    hosts.known_hosts.write_text("".join(hosts.known_hosts.read_text().splitlines(keepends=True)[1:]))
    assert after.ssh("true").returncode == 0


def test_closing_reports_what_detached_itself(farm: Callable[..., Farm]) -> None:
    hosts = farm(1, fresh=True)
    [host] = hosts.hosts
    host.ssh("setsid sleep 51 </dev/null >/dev/null 2>&1 & echo $!")
    [left] = [one for one in host.processes() if "sleep" in one.argv()]
    told = hosts.close()
    assert [line.split(": ", 1)[1] for line in told] == ["sleep 51"]
    assert not left.alive()
    assert hosts.close() == []


def test_fleet_json(farm: Callable[..., Farm], tmp_path: Path) -> None:
    hosts = farm(3)
    pair = {"pair": {"members": ["h0", "h1"], "master": "h0"}}
    path = hosts.fleet_json(tmp_path / "a", instances={"h2": {"role": "spare"}}, groups=pair, python="auto")
    written = json.loads(path.read_text())
    assert list(written["instances"]) == ["h0", "h1", "h2"] and written["instances"]["h2"]["role"] == "spare"
    assert written["instances"]["h1"]["port"] == hosts.hosts[1].port and written["groups"] == pair
    assert written["defaults"]["python"] == "auto" and Path(written["defaults"]["identity"]).stat().st_mode & 0o77 == 0
    state = path.parent / ".fleet"
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "known_hosts").stat().st_mode & 0o777 == 0o600
    assert f"[{hosts.hosts[0].address}]:{hosts.hosts[0].port} ssh-ed25519 " in (state / "known_hosts").read_text()


def test_a_process_is_told_by_pid_and_start() -> None:
    sleeper = subprocess.Popen(["sleep", "52"], env={"MARK": "x"})
    one = process(sleeper.pid)
    assert one is not None and one.alive()
    # The child has its parent's environment until it has replaced itself.
    deadline = time.monotonic() + 10
    while one.environ() != {"MARK": "x"} and time.monotonic() < deadline:
        time.sleep(0.005)
    assert one.environ() == {"MARK": "x"} and one.argv() == ["sleep", "52"]
    recycled = type(one)(one.pid, one.start + 1)
    recycled.end()
    assert not recycled.alive() and one.alive()
    one.end()
    assert sleeper.wait(10) == -9 and not one.alive()
    assert process(os.getpid()) is not None
