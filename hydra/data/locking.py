"""Shared folders: one builder at a time by a file lock that says what it waits for, and one error for failed writes."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import DataError
from hydra.runs import RunWriteError

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_REPORT_SECONDS = 10.0


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the failed writes of a block into a DataError that names the folder."""
    try:
        yield
    except (OSError, RunWriteError) as error:
        cause = error.__cause__ if isinstance(error, RunWriteError) else error
        raise DataError(
            f"cannot write {path}: {cause}",
            why="built tokenizers and token files are kept there and read by every later run",
            fix="free space or fix the permissions there, or name other folders in data.token_artifacts and "
            "data.tokenizer_artifacts",
            example=f"df -h {path.parent} && ls -ld {path.parent}",
        ) from error


@contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[None]:
    """Hold an advisory lock on a file while the block runs; the operating system drops it when a process dies.

    While another process or thread holds it, a line every ten seconds says what is waited for. The file stays: to
    remove a lock file while others may be opening it would let two of them in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        _acquire(handle.fileno(), path, purpose)
        yield


def _acquire(descriptor: int, path: Path, purpose: str) -> None:
    started = time.monotonic()
    reported = started - _REPORT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            now = time.monotonic()
            if now - reported >= _REPORT_SECONDS:
                logger.warning("waiting for another process to finish %s (%.0f s, %s)", purpose, now - started, path)
                reported = now
        time.sleep(_POLL_SECONDS)
