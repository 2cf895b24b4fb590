"""The writer process: `python -m hydra.training.checkpoint.writer DIRECTORY PARENT MEMORY`.

A process and not a thread, so that hashing and writing gigabytes never holds the trainer's interpreter lock. It reads
requests from standard input, takes the data from shared memory (descriptor MEMORY), and answers on standard output. It
uses the standard library only and starts in a few hundredths of a second.

**It dies with its parent.** On Linux the kernel kills it when the trainer ends, however that ends; everywhere it also
looks at its parent's id before each piece of data and each change of a name, and ends when its input does. A last
system call may still be under way when the trainer is gone, therefore it holds the lock on the directory that its
parent took: a new trainer waits for that lock, which the kernel frees only when this process can do nothing more.

**It does not die of Ctrl-C.** Terminals and launchers signal the whole process group, and the trainer then wants its
last checkpoint. Its parent starts it with these signals blocked; here they become ignored.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import time
from pathlib import Path

from hydra.training.checkpoint.commit import commit, tidy
from hydra.training.checkpoint.request import Reply, SaveRequest

#: Signals that are meant for the trainer alone.
TRAINERS_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
_PR_SET_PDEATHSIG = 1


class Parent:
    """The trainer: called between two actions, it ends this process if the trainer has gone."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __call__(self) -> None:
        """Return if the trainer lives; otherwise leave at once, without flushing or cleaning anything."""
        if os.getppid() != self._pid:
            os._exit(1)


def main(arguments: list[str]) -> None:
    """Serve requests until the input ends."""
    directory, parent, memory = Path(arguments[0]), Parent(int(arguments[1])), int(arguments[2])
    _bind_to(parent)
    for number in TRAINERS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TRAINERS_SIGNALS)
    for line in sys.stdin.buffer:
        reply = _serve(directory, SaveRequest.parse(line), memory, parent)
        sys.stdout.buffer.write(reply.line())
        sys.stdout.buffer.flush()


def _bind_to(parent: Parent) -> None:
    """Ask the kernel for SIGKILL at the parent's death, then look whether it had died before."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(ctypes.get_errno(), "the kernel refused to bind this process to its parent")
    parent()


def _serve(directory: Path, request: SaveRequest, memory: int, parent: Parent) -> Reply:
    started = time.monotonic()
    try:
        data = memoryview(mmap.mmap(memory, request.memory, prot=mmap.PROT_READ))
        size = commit(directory, request, data, parent)
    except OSError as error:
        return Reply(request.step, time.monotonic() - started, 0, _words(error), None)
    complaint = None
    try:
        tidy(directory, request, parent)
    except OSError as error:
        complaint = _words(error)
    return Reply(request.step, time.monotonic() - started, size, None, complaint)


def _words(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"


if __name__ == "__main__":
    main(sys.argv[1:])
