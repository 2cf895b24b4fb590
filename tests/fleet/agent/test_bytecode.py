"""Byte code of the agent: kept beside it for each Python, never torn or changed, and told where it cannot be kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fleet.agent import Agent
from fleet.remote import bytecode, entry
from fleet.remote.archive import archive
from fleet.ssh import Cmd, Deadline
from tests.farm.local import LocalTransport
from tests.fleet.remote.hosts import read_only
from tests.fleet.remote.interpreters import interpreters

DEPLOY_DIR = "~/fleet"
REQUEST = {"deploy_dir": DEPLOY_DIR}


@pytest.fixture
def host(tmp_path: Path) -> LocalTransport:
    """A host of this machine with a deploy_dir."""
    (tmp_path / "home" / "fleet").mkdir(parents=True)
    return LocalTransport(tmp_path / "home", "h")


class ReadOnly(LocalTransport):
    """The same with a deploy_dir that is mounted read-only."""

    def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        argv = [*read_only(self.home / "fleet"), "sh", "-c", cmd.line()]
        return subprocess.Popen(argv, cwd=self.home, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe)


def call(host: LocalTransport, python: str = sys.executable, *, keep: bool = True) -> list[str]:
    """Call the agent; returns what was told of it."""
    told: list[str] = []
    agent = Agent(host, DEPLOY_DIR, python, keep=keep, tell=told.append)
    assert agent.call("runs", REQUEST, deadline=Deadline.after(60)) == {"runs": []}
    return told


def agent_of(host: LocalTransport) -> Path:
    """The agent itself on a host."""
    [found] = [path for path in (host.home / "fleet" / "tools").glob("*.pyz") if path.name.count(".") == 1]
    return found


def kept(host: LocalTransport) -> dict[str, bytes]:
    """What is in tools/ beside the agent itself, leftovers included."""
    agent = agent_of(host)
    return {path.name: path.read_bytes() for path in agent.parent.iterdir() if path != agent}


def modules(host: LocalTransport, python: str = sys.executable) -> str:
    """Where the agent's modules come from in a call, as Python's own list of imports says."""
    argv = [python, "-I", "-S", "-v", str(agent_of(host)), "ps"]
    done = subprocess.run(argv, input=b'{"deploy_dir": "/nowhere"}', capture_output=True, timeout=60)
    assert done.returncode == 0
    lines = [line for line in done.stderr.decode().splitlines() if "fleet.remote.processes" in line and ".pyz" in line]
    assert lines
    return "\n".join(lines)


def test_the_first_call_of_a_python_keeps_it_and_the_next_ones_use_it(host: LocalTransport) -> None:
    assert call(host) == []
    [name] = kept(host)
    assert Path(entry.beside(str(agent_of(host)))).name == name
    assert name in modules(host)
    before = kept(host)
    assert call(host) == [] and kept(host) == before
    assert (host.home / "fleet" / "tools" / name).stat().st_mode & 0o077 == 0


def test_pythons_that_share_a_folder_have_their_own(host: LocalTransport) -> None:
    versions = interpreters()
    for version in versions.values():
        assert call(host, version) == []
    names = set(kept(host))
    assert len(names) >= len(versions) >= 2
    for version in versions.values():
        assert call(host, version) == [] and set(kept(host)) == names
        assert any(name in modules(host, version) for name in names)


def test_a_rehearsal_keeps_nothing(host: LocalTransport) -> None:
    call(host)
    for name in kept(host):
        (host.home / "fleet" / "tools" / name).unlink()
    assert call(host, keep=False) == [] and kept(host) == {}


@pytest.mark.parametrize("damage", ["cut", "empty", "bit"])
def test_damaged_byte_code_is_never_used_and_made_anew(host: LocalTransport, damage: str) -> None:
    call(host)
    [(name, good)] = kept(host).items()
    path = host.home / "fleet" / "tools" / name
    middle = len(good) // 2
    bad = {"cut": good[:-1000], "empty": b"", "bit": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]}
    path.write_bytes(bad[damage])
    assert not entry.whole(str(path))
    assert name not in modules(host)
    assert call(host) == []
    assert entry.whole(str(path)) and list(kept(host)) == [name]


def test_byte_code_that_others_read_from_is_not_replaced(host: LocalTransport, tmp_path: Path) -> None:
    """A run reads modules from it for days; all who make it at once get the first one."""
    call(host)
    agent = agent_of(host)
    place = Path(entry.beside(str(agent)))
    before = place.stat()
    threads = [threading.Thread(target=bytecode.keep, args=(str(agent), str(place))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (place.stat().st_ino, place.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(kept(host)) == [place.name]


def test_an_agent_that_is_not_what_its_name_says_is_not_compiled(tmp_path: Path) -> None:
    path = tmp_path / "0123456789abcdef.pyz"
    path.write_bytes(archive()[0])
    assert "is not what its name says" in bytecode.keep(str(path), str(tmp_path / "code.pyz"))
    assert os.listdir(tmp_path) == [path.name]


def test_a_read_only_disk_is_told_and_the_agent_is_used_as_it_is(host: LocalTransport) -> None:
    call(host)
    for name in kept(host):
        (host.home / "fleet" / "tools" / name).unlink()
    [told] = call(ReadOnly(host.home, "h"))
    assert told.startswith("h: the agent is compiled at each call") and "Read-only file system" in told
    assert kept(host) == {}


def test_a_full_disk_is_told_and_leaves_nothing(host: LocalTransport) -> None:
    call(host)
    for name in kept(host):
        (host.home / "fleet" / "tools" / name).unlink()
    limited = host.home / "limited"
    limited.write_text(f'#!/bin/sh\nulimit -f 1\nexec {sys.executable} "$@"\n')
    limited.chmod(0o755)
    [told] = call(host, str(limited))
    assert "File too large" in told and kept(host) == {}


def test_an_agent_that_cannot_be_kept_runs_from_memory(host: LocalTransport) -> None:
    """Neither deploy_dir nor the folder of temporary files has room."""
    host = ReadOnly(host.home, "h", TMPDIR="/nowhere")
    shutil.rmtree(host.home / "fleet" / "tools", ignore_errors=True)
    assert call(host) == []
    assert not (host.home / "fleet" / "tools").exists()
