"""The writer process as the trainer sees it: started, asked, polled, ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import hydra
from hydra.training.checkpoint.recovery import recover, take_lock
from hydra.training.checkpoint.request import Reply, SaveRequest
from hydra.training.checkpoint.writer import TRAINERS_SIGNALS

_ROOT = Path(hydra.__file__).resolve().parent.parent


class WriterDied(Exception):
    """The writer process ended without an answer; the message says how."""


class WriterProcess:
    """A running writer, with the directory locked and cleaned of what an earlier one left.

    `memory` is the descriptor of the shared memory. Must be made in the main thread: Linux ties the child's life to the
    thread that made it. Raises RunLocked while another writer lives.
    """

    def __init__(self, directory: Path, memory: int) -> None:
        assert threading.current_thread() is threading.main_thread(), "the writer would die with this thread"
        lock = take_lock(directory)
        try:
            recover(directory)
            self._process = _start(directory, memory, lock)
        finally:
            os.close(lock)
        self._unread = b""

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def send(self, request: SaveRequest) -> None:
        """Hand over a request. Raises WriterDied if nobody is there to take it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request.line())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error

    def receive(self, timeout: float | None) -> Reply | None:
        """The next reply; None if there is none within `timeout` seconds (None: wait). Raises WriterDied."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._unread:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            if not poll.poll(left):
                return None
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise self._died()
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return Reply.parse(line)

    def close(self) -> None:
        """End the process; a request under way is finished first."""
        assert self._process.stdin is not None and self._process.stdout is not None
        # What a dead writer did not take is lost already, and closing must not fail over it.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _died(self) -> WriterDied:
        code = self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return WriterDied(f"the writer process ended before the checkpoint was complete ({how})")


def _start(directory: Path, memory: int, lock: int) -> subprocess.Popen[bytes]:
    """Start the interpreter without site packages and environment: the writer needs neither.

    The signals meant for the trainer are blocked across the start, because until the writer runs they would kill it.
    """
    arguments = [str(directory.resolve()), str(os.getpid()), str(memory)]
    # Without the environment it would not know that nothing may be written beside the sources.
    options = ["-E", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TRAINERS_SIGNALS)
    try:
        return subprocess.Popen(
            [sys.executable, *options, "-m", "hydra.training.checkpoint.writer", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(memory, lock),
            cwd=_ROOT,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
