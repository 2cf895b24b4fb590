"""Append-only files of lines, written so that no reader ever sees half a line and no crash makes one unreadable.

Each line is one `write` of the whole line with its newline on a descriptor opened for appending. What can still go
wrong, and what then holds:

- The process is killed inside the write: the file may end in the middle of a line. Readers do not take a line before
  its newline; the next writer closes the torn tail with a newline, and readers skip the fragment, counting it.
- The disk is full: either nothing is written, or the beginning of the line. Both raise RunWriteError. The fragment is
  closed in the same write as the next line, so it cannot swallow it. The file never shrinks: followers hold a byte
  position in it.
- The machine loses power: lines since the last fsync may be missing, `sync_every` seconds of them at most.

One writer per file at a time; within a process, threads may share it.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hydra.runs.atomic import sync_directory
from hydra.runs.closing import Closing
from hydra.runs.failures import write_failed

#: Seconds between fsyncs of a file whose lines are many and cheap to lose.
SYNC_EVERY = 10.0


class LineWriter(Closing):
    """Appends whole lines to one file. Opening it closes a torn tail. Raises RunWriteError when the disk refuses."""

    def __init__(
        self, path: Path, *, sync_every: float = SYNC_EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._sync_every, self._clock = sync_every, clock
        self._guard = threading.Lock()
        self._descriptor: int | None = None
        try:
            existed = path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            if not existed:
                sync_directory(path.parent)
            self._torn = _ends_torn(self._descriptor)
            if self._torn:
                self._write(b"")
        except OSError as error:
            self.close()
            raise write_failed(path, error) from error
        self._synced_at = clock()

    def append(self, line: bytes, *, sync: bool = False) -> None:
        """Add one line, given without its newline; with `sync`, or when it is time, it is on the disk afterwards."""
        if b"\n" in line:
            raise AssertionError(f"a line for {self.path} holds a newline: {line[:80]!r}")
        with self._guard:
            try:
                self._write(line + b"\n")
                if sync or self._clock() - self._synced_at >= self._sync_every:
                    self._sync()
            except OSError as error:
                raise write_failed(self.path, error) from error

    def sync(self) -> None:
        """Put everything appended so far on the disk."""
        with self._guard:
            try:
                self._sync()
            except OSError as error:
                raise write_failed(self.path, error) from error

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        with self._guard:
            if self._descriptor is None:
                return
            descriptor, self._descriptor = self._descriptor, None
            try:
                if os.fstat(descriptor).st_size:
                    os.fsync(descriptor)
            except OSError as error:
                raise write_failed(self.path, error) from error
            finally:
                os.close(descriptor)

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise AssertionError(f"{self.path} was closed; it takes no more lines")
        return self._descriptor

    def _write(self, line: bytes) -> None:
        data = b"\n" + line if self._torn else line
        written = os.write(self._open_descriptor(), data)
        if written:
            self._torn = data[written - 1 : written] != b"\n"
        if written < len(data):
            raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes were taken")

    def _sync(self) -> None:
        os.fsync(self._open_descriptor())
        self._synced_at = self._clock()


def _ends_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
