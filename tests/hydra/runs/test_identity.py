from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hydra.runs import ProcessIdentity, boot_id, identity, is_alive, machine_id, portable, process_identity

MODULES = [portable]
if sys.platform == "linux":
    from hydra.runs import proc

    MODULES.append(proc)


def me() -> ProcessIdentity:
    found = process_identity()
    assert found is not None
    return found


def test_this_process_is_alive_and_others_with_its_pid_are_not() -> None:
    assert me().pid == os.getpid()
    assert me() == me()
    assert is_alive(me())
    assert not is_alive(me().model_copy(update={"start": me().start + 1}))
    assert not is_alive(me().model_copy(update={"boot_id": "another boot"}))


def test_round_trip(tmp_path: Path) -> None:
    me().write(tmp_path / "identity.json")
    assert ProcessIdentity.read(tmp_path / "identity.json") == me()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_dead_have_no_start_zombies_neither(module: ModuleType) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    assert module.start_of(pid) is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert module.start_of(pid) is None, "a zombie has ended"
    os.waitpid(pid, 0)
    assert module.start_of(pid) is None
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_start_of_a_process_does_not_change(module: ModuleType) -> None:
    assert module.start_of(os.getpid()) == module.start_of(os.getpid())


def test_without_a_boot_id_identities_still_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "boot_id", portable.boot_id)
    monkeypatch.setattr(identity, "start_of", portable.start_of)
    assert me().boot_id is None
    assert is_alive(me())
    assert not is_alive(me().model_copy(update={"start": me().start + 1}))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("name", [b"python", b"a b", b") R 1 2 (", b"((", b""])
def test_a_command_name_cannot_shift_the_fields(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "5").mkdir()
    rest = b" S " + b" ".join(b"%d" % number for number in range(4, 53))
    (tmp_path / "5" / "stat").write_bytes(b"5 (" + name + b")" + rest)
    assert proc.start_of(5, tmp_path) == 22
    (tmp_path / "5" / "stat").write_bytes(b"5 (" + name + b")" + rest.replace(b" S ", b" Z "))
    assert proc.start_of(5, tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_boot_id_is_the_kernels() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_machines_with_one_machine_id_differ_by_host_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: list[Callable[[], str]] = [lambda: "one", lambda: "two"]
    monkeypatch.setattr(identity, "_MACHINE_ID", tmp_path / "machine-id")
    found = set()
    for host in hosts:
        monkeypatch.setattr(identity.socket, "gethostname", host)
        found.add(machine_id())
        (tmp_path / "machine-id").write_text("abc\n")
        found.add(machine_id())
    assert len(found) == 3, "one without, one with, two with"
    assert all(len(name) == 16 for name in found)
