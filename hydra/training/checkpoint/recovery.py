"""The start of writing in a directory: wait for whoever wrote there before, then undo what it left half done."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

from hydra.errors import RunLocked
from hydra.training.checkpoint import names
from hydra.training.checkpoint.durable import sync_directory

#: Seconds to wait for a killed trainer's writer, which may sit in one last fsync.
PATIENCE = 60.0
_PAUSE = 0.02


def take_lock(directory: Path, patience: float = PATIENCE) -> int:
    """Take the writer's lock and return its descriptor.

    The writer process inherits the descriptor and is the only one to keep it, so the lock is free exactly when no
    writer can touch the directory any more. Raises RunLocked if it is not free in time.
    """
    descriptor = os.open(directory / names.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise _locked(directory, patience) from None
            time.sleep(_PAUSE)


def recover(directory: Path) -> None:
    """Remove what was in progress or on its way out, and put back what was replaced by something that never arrived.

    The lock must be held. Complete checkpoints are not touched.
    """
    for path in sorted(directory.iterdir()):
        if path.name.startswith((names.TEMPORARY, names.TRASH)):
            shutil.rmtree(path)
        elif path.name.startswith(names.REPLACED):
            final = directory / path.name.removeprefix(names.REPLACED)
            if final.exists():
                shutil.rmtree(path)
            else:
                os.rename(path, final)
        elif path.name in (f".{names.LATEST}.tmp", f".{names.BEST}.tmp"):
            path.unlink()
    sync_directory(directory)


def _locked(directory: Path, patience: float) -> RunLocked:
    return RunLocked(
        f"another process writes checkpoints in {directory}",
        why=f"its lock was still held after {patience:g} seconds, and two writers would destroy each other's files",
        fix="stop the other trainer of this run, or wait for its last save to end",
        example=f"fuser -v {directory / names.LOCK}",
    )
