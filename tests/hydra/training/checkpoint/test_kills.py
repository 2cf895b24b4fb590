"""kill -9 for real, of the trainer and of its writer, at random moments: what is left is sound, and work goes on."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import psutil
import pytest
import torch

from hydra.training.checkpoint import Saved, SaveFailure, recovery
from hydra.training.checkpoint.recovery import take_lock


def test_the_trainer_is_killed_at_random_moments(trainer, make_store, tmp_path, kit) -> None:
    """12 kills: no writer survives, what was reported is there, what is there is sound, and work goes on from it."""
    generator = random.Random(0)
    directory = tmp_path / "checkpoints"
    reported = 0
    for _ in range(12):
        process = trainer()
        if generator.random() < 0.7:
            reported = int(process.stdout.readline())
        time.sleep(generator.random() * 0.12)
        orphans = kit.children(process)
        process.kill()
        reported = max([reported, *map(int, process.stdout.read().split())])
        store = make_store()
        assert not any(orphan.is_running() and orphan.status() != "zombie" for orphan in orphans)
        checkpoints = kit.only_sound_checkpoints(directory)
        newest, rejected = store.newest_verified()
        assert rejected == []
        assert newest is None or newest >= reported
        assert (newest is None) == (reported == 0 and not checkpoints.steps())
        assert store.latest() == newest
        store.close()
    assert reported > 5


def test_the_writer_is_killed_at_random_moments(make_store, tensors, kit) -> None:
    """The trainer survives: the save in flight is a failure, everything before and after it is sound."""
    generator = random.Random(1)
    big = {**tensors, "model.big": torch.randn(2_000_000)}
    store = make_store()
    saved, failed = [], []
    for step in range(1, 16):
        store.save(step, big, {"step": step})
        if step % 2:
            time.sleep(generator.random() * 0.06)
            kit.writers()[0].kill()
        for result in store.wait():
            (saved if isinstance(result, Saved) else failed).append(result)
    assert saved
    assert failed
    assert all("killed by SIGKILL" in failure.reason for failure in failed)
    store.close()
    make_store().close()
    kit.only_sound_checkpoints(store.directory)
    # One that was killed between the rename and its answer is there, though it was reported as failed.
    assert set(store.steps()) >= {result.step for result in saved}


def test_a_dead_writer_is_replaced_by_the_next_save(store, save, tensors, kit) -> None:
    save(1)
    [writer] = kit.writers()
    writer.kill()
    writer.wait()
    save(2)
    assert kit.writers()[0].pid != writer.pid
    assert store.steps() == [1, 2]


def test_a_writer_that_dies_while_idle_does_not_fail_close(make_store, save, store, kit) -> None:
    kit.writers()[0].kill()
    store.close()
    assert store.finished() == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_a_suspended_writer_dies_with_its_parent(trainer, tmp_path, make_store, kit) -> None:
    """Frozen in the middle of a save it cannot look at its parent; the kernel ends it all the same."""
    process = trainer()
    process.stdout.readline()
    [writer] = kit.children(process)
    writer.suspend()
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs([writer], timeout=10)
    assert not alive
    make_store()
    kit.only_sound_checkpoints(tmp_path / "checkpoints")


def test_a_real_trainer_is_killed(tmp_path, kit) -> None:
    """With torch and the store itself: every tensor of what is left belongs to one and the same step."""
    code = f"""
import sys, torch
from pathlib import Path
from hydra.manifest.sections import Checkpoint
from hydra.training.checkpoint import CheckpointStore
policy = Checkpoint.model_validate({{"keep_last": 2}})
store = CheckpointStore(Path({str(tmp_path)!r}), run="r", attempt=1, configuration="c", keep=policy)
tensors = {{f"model.{{i}}": torch.zeros(300_000) for i in range(4)}}
with store:
    for step in range(1, 100000):
        for tensor in tensors.values():
            tensor.fill_(step)
        store.save(step, tensors, {{"step": step}}, metric=1 / step)
        for result in store.finished():
            print(result.step, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for _ in range(4):
        reported = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    descriptor = take_lock(tmp_path)
    recovery.recover(tmp_path)
    os.close(descriptor)
    checkpoints = kit.only_sound_checkpoints(tmp_path)
    newest, _ = checkpoints.newest_verified()
    assert newest is not None
    assert newest >= reported
    for step in checkpoints.steps():
        loaded = checkpoints.read_tensors(step)
        assert {float(value) for tensor in loaded.values() for value in tensor.unique()} == {float(step)}
        assert checkpoints.read_train(step) == {"step": step}
    assert json.loads((tmp_path / f"step-{newest}" / "COMPLETE.json").read_text())["step"] == newest


def test_failure_is_a_result_not_an_exception(store, tensors, kit) -> None:
    kit.writers()[0].suspend()
    store.save(1, tensors, {})
    kit.writers()[0].kill()
    [result] = store.wait()
    assert isinstance(result, SaveFailure)
    assert result.step == 1
