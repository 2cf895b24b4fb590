"""A full disk: the save fails cleanly and says so, the last good checkpoint is untouched, and the next save works."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hydra.training.checkpoint import Saved, SaveFailure, slab
from hydra.training.checkpoint import store as store_module

SMALL = {"model.w": torch.zeros(1000)}
LARGE = {"model.w": torch.zeros(2_000_000)}


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small file system needs root")
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", path], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def sound(store, step: int) -> None:
    """One checkpoint, it verifies, `latest` names it, and nothing else lies around."""
    assert store.steps() == [step]
    assert store.verify(step).ok
    assert store.latest() == step
    assert {path.name for path in store.directory.iterdir()} == {f"step-{step}", "latest", ".lock"}


def test_a_disk_that_fills_up_while_saving(small_disk, make_store, monkeypatch) -> None:
    monkeypatch.setattr(store_module, "MARGIN", -(1 << 40))  # the check beforehand is tested below
    store = make_store(small_disk / "checkpoints", keep_last=1)
    store.save(1, SMALL, {})
    store.save(2, LARGE, {})
    good, failure = store.wait()
    assert isinstance(good, Saved)
    assert isinstance(failure, SaveFailure)
    assert "No space left on device" in failure.reason
    sound(store, 1)
    store.save(3, SMALL, {})
    [after] = store.wait()
    assert isinstance(after, Saved)
    sound(store, 3)
    store.close()


def test_room_is_looked_at_first(small_disk, make_store) -> None:
    store = make_store(small_disk / "checkpoints")
    store.save(1, SMALL, {})
    [failure] = store.wait()
    assert isinstance(failure, SaveFailure)
    needed = store_module.MARGIN + 4000
    assert "bytes are free and " in failure.reason
    assert needed < int(failure.reason.split(" and ")[1].split(" ")[0].replace(",", "")) < needed + 1000
    assert {path.name for path in store.directory.iterdir()} == {".lock"}
    store.close()


def test_a_file_size_limit(make_store) -> None:
    """What a quota does: the write itself fails, in the middle of a shard."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        # The trainer's own shared memory is a file too, so it gets the limit back before it stages anything.
        store = make_store()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    store.save(1, SMALL, {})
    store.save(2, LARGE, {})
    good, failure = store.wait()
    assert isinstance(good, Saved)
    assert isinstance(failure, SaveFailure)
    assert "File too large" in failure.reason
    sound(store, 1)
    store.save(3, SMALL, {})
    assert isinstance(store.wait()[0], Saved)


def test_a_directory_that_cannot_be_written(store, save, monkeypatch) -> None:
    save(1)
    shutil.rmtree(store.directory)
    store.save(2, SMALL, {})
    [failure] = store.wait()
    assert isinstance(failure, SaveFailure)
    assert "No such file or directory" in failure.reason


def test_too_little_host_memory_is_a_failed_save(store, save, monkeypatch) -> None:
    save(1)

    class Empty:
        available = 1000

    monkeypatch.setattr(slab.psutil, "virtual_memory", lambda: Empty)
    store.save(2, LARGE, {})
    [failure] = store.wait()
    assert isinstance(failure, SaveFailure)
    assert "staging takes " in failure.reason
    assert "1,000 are available" in failure.reason
    sound(store, 1)


def test_an_old_checkpoint_that_cannot_be_removed_is_a_complaint(make_store) -> None:
    """The new one is complete all the same, and is reported as saved."""
    store = make_store(keep_last=1)
    store.save(1, SMALL, {})
    store.wait()
    (store.directory / ".trash-step-1").write_text("in the way")
    store.save(2, SMALL, {})
    [result] = store.wait()
    assert isinstance(result, Saved)
    assert result.removed == ()
    assert "Not a directory" in result.complaint
    assert store.verify(2).ok
    assert store.latest() == 2
    (store.directory / ".trash-step-1").unlink()


def test_a_tokenizer_with_a_link_is_refused(store, tmp_path) -> None:
    source = tmp_path / "tokenizer"
    source.mkdir()
    (source / "tokenizer.json").symlink_to("/etc/hostname")
    store.save(1, SMALL, {}, tokenizer=source)
    [failure] = store.wait()
    assert isinstance(failure, SaveFailure)
    assert "only regular files" in failure.reason
    assert store.steps() == []
