"""Artifacts: built once, whole or not at all, by one process at a time."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from hydra.data.artifacts import obtain
from hydra.data.locking import exclusive
from hydra.errors import DataError

KEY = {"artifact": "test", "content": "abc"}


def write(directory: Path) -> None:
    (directory / "data").write_text("content")


def test_an_artifact_is_built_once_and_read_only(tmp_path: Path) -> None:
    built = obtain(tmp_path, KEY, "building", write)
    assert built == obtain(tmp_path, dict(reversed(KEY.items())), "building", lambda _: pytest.fail("built again"))
    assert (built / "data").read_text() == "content"
    assert (built / "data").stat().st_mode & 0o222 == 0
    assert '"content": "abc"' in (built / "artifact.json").read_text()
    assert built != obtain(tmp_path, {**KEY, "content": "abd"}, "building", write)


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        write(directory)
        raise DataError("no", why="w", fix="f", example="e")

    with pytest.raises(DataError, match="no"):
        obtain(tmp_path, KEY, "building", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]
    assert obtain(tmp_path, KEY, "building", write).is_dir()


def test_a_full_disk_is_a_data_error(tmp_path: Path) -> None:
    def full(directory: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"cannot write .*No space left on device"):
        obtain(tmp_path, KEY, "building", full)
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]


def _build_slowly(folder: Path, log: Path) -> None:
    def build(directory: Path) -> None:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        write(directory)

    obtain(folder, KEY, "building", build)


def test_of_many_processes_one_builds(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_build_slowly, args=(tmp_path / "cache", tmp_path / "log"), daemon=True)
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len((tmp_path / "log").read_text().split()) == 1


def _build_for_ever(folder: Path) -> None:
    def build(directory: Path) -> None:
        write(directory)
        (folder / "started").touch()
        time.sleep(600)

    obtain(folder, KEY, "building", build)


def test_a_killed_builder_is_cleared_away(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_build_for_ever, args=(tmp_path,), daemon=True)
    process.start()
    while not (tmp_path / "started").exists():
        assert process.is_alive()
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert list(tmp_path.glob(".*.tmp"))
    built = obtain(tmp_path, KEY, "building", write)
    assert (built / "data").read_text() == "content"
    assert not list(tmp_path.glob(".*.tmp"))


def test_who_waits_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entered = threading.Event()

    def wait() -> None:
        with exclusive(tmp_path / "lock", "building the thing"):
            entered.set()

    with caplog.at_level(logging.WARNING), exclusive(tmp_path / "lock", "building the thing"):
        thread = threading.Thread(target=wait)
        thread.start()
        while not caplog.records:
            time.sleep(0.01)
        assert not entered.is_set()
    thread.join(60)
    assert entered.is_set()
    assert "waiting for another process to finish building the thing" in caplog.text
