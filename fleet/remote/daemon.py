"""A process that nothing ties to the connection that asked for it: forked twice, its own session, its own streams."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, Callable

from fleet.remote.reporter import read_outcome

_BUG = 70
#: Descriptors above this were not opened by a login.
_DESCRIPTORS = 1024


def in_daemon(work: Callable[[int], None]) -> dict[str, Any] | None:
    """Do some work in a new process, and return the outcome that it tells; None if it ended without one.

    `work` gets the descriptor to tell it on (`fleet.remote.reporter.Reporter`). It goes on after that for as long as it
    likes, while this process does what it likes.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _detach(work, reading, writing)
    os.close(writing)
    os.waitpid(child, 0)
    try:
        return read_outcome(reading)
    finally:
        os.close(reading)


def log_to(path: str) -> None:
    """Write stderr to a file from now on, behind what it holds."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _detach(work: Callable[[int], None], reading: int, writing: int) -> None:
    """In the child: leave the session, fork again so that no terminal can ever be taken, and work. Never returns."""
    status = _BUG
    try:
        os.close(reading)
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        _let_go(writing)
        work(writing)
        status = 0
    except BaseException:
        sys.stderr.write(traceback.format_exc())
        sys.stderr.flush()
        raise
    finally:
        # Past everything that the parent's Python would still like to do.
        os._exit(status)


def _let_go(kept: int) -> None:
    """Close what the connection gave: its end must not wait for this process, nor this process block on it.

    stderr stays until `log_to`, so that what goes wrong before is seen by whoever asked.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)
    os.closerange(3, kept)
    os.closerange(kept + 1, _DESCRIPTORS)
    os.chdir("/")
