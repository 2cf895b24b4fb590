"""The writer process for real: signalled, orphaned, locked out."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from hydra.errors import RunLocked
from hydra.training.checkpoint import Checkpoints, Saved, recovery
from hydra.training.checkpoint.process import WriterProcess
from hydra.training.checkpoint.recovery import take_lock


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_for_the_trainer_do_not_reach_the_save(store, tensors, kit, number: int) -> None:
    [writer] = kit.writers()
    for _ in range(3):
        writer.send_signal(number)  # also before its first instruction
    store.save(1, {**tensors, "model.big": torch.randn(500_000)}, {})
    writer.send_signal(number)
    assert [type(result) for result in store.wait()] == [Saved]
    assert kit.writers() == [writer]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_goes_to_the_whole_group_and_saving_goes_on(trainer, number: int, kit) -> None:
    """The trainer only notes the signal; it then finds its writer alive and its save complete."""
    process = trainer()
    first = int(process.stdout.readline())
    [writer] = kit.children(process)
    assert os.getpgid(writer.pid) == os.getpgid(process.pid) == process.pid
    for step in range(first + 1, first + 4):
        os.killpg(process.pid, number)
        assert int(process.stdout.readline()) == step
    assert kit.children(process) == [writer]


def test_starting_a_writer_restores_the_trainers_signals(store) -> None:
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGTERM}


@pytest.mark.parametrize("forbidden", [True, False])
def test_a_writer_leaves_byte_code_only_where_the_trainer_would(monkeypatch, make_store, kit, forbidden: bool) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", forbidden)
    before = kit.writers()
    store = make_store()
    store.save(1, {"model.one": torch.zeros(3)}, {})
    assert [type(result) for result in store.wait()] == [Saved]
    [writer] = [one for one in kit.writers() if one not in before]
    assert ("-B" in writer.cmdline()) is forbidden


def test_an_orphan_stops_before_it_changes_anything(tmp_path) -> None:
    """Without the kernel's help: a writer whose parent is not the one it was told ends at once."""
    arguments = [sys.executable, "-m", "hydra.training.checkpoint.writer", str(tmp_path), "1", "0"]
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_parent_is_looked_at_between_pieces(tmp_path) -> None:
    """The same in the middle of a save, with the kernel's signal switched off."""
    code = f"""
import os, sys, time
from pathlib import Path
from hydra.training.checkpoint.writer import Parent
from hydra.training.checkpoint.durable import write
if os.fork() == 0:
    parent = Parent(os.getppid())
    def pieces():
        for number in range(1000):
            yield b"x"
            time.sleep(0.01)
    write(Path({str(tmp_path)!r}) / "file", pieces(), parent)
    os._exit(0)
time.sleep(0.2)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    time.sleep(0.1)
    size = (tmp_path / "file").stat().st_size
    time.sleep(0.2)
    assert 0 < size == (tmp_path / "file").stat().st_size < 1000


def test_a_new_trainer_waits_for_the_old_writer(make_store, store, tmp_path) -> None:
    """The lock belongs to the writer: it is free when that process can do nothing more, not when its trainer dies."""
    with pytest.raises(RunLocked) as caught:
        take_lock(store.directory, patience=0.1)
    assert caught.value.exit_code == 6
    threading.Timer(0.3, store.close).start()
    started = time.monotonic()
    make_store()
    assert time.monotonic() - started > 0.2


def test_two_stores_on_one_directory(store, make_store, monkeypatch) -> None:
    monkeypatch.setattr(recovery.take_lock, "__defaults__", (0.1,))
    with pytest.raises(RunLocked, match="another process writes checkpoints"):
        make_store()


def test_readers_need_no_lock(store, save) -> None:
    save(1)
    assert Checkpoints(store.directory).newest_verified() == (1, [])


def test_the_trainer_does_not_hold_the_lock_itself(store, kit) -> None:
    """Or a forked worker of a killed trainer would keep the next one out."""
    [writer] = kit.writers()
    writer.kill()
    writer.wait()
    descriptor = os.open(store.directory / ".lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_what_an_earlier_attempt_left_is_cleared(store, save, make_store, kit) -> None:
    folder = save(1)
    store.close()
    (store.directory / ".tmp-step-2").mkdir()
    (store.directory / ".tmp-step-2" / "shard-00000.safetensors").write_bytes(b"half")
    (store.directory / ".trash-step-0").mkdir()
    folder.rename(store.directory / ".replaced-step-1")
    store = make_store()
    assert kit.only_sound_checkpoints(store.directory).steps() == [1]


def test_the_writer_must_be_started_by_the_main_thread(tmp_path) -> None:
    errors = []

    def start() -> None:
        try:
            WriterProcess(tmp_path, 0)
        except AssertionError as error:
            errors.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert errors == ["the writer would die with this thread"]
