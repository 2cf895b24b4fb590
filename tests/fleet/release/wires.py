"""Connections that fail while a release is being sent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from typing import Literal

from fleet.ssh import Cmd, Deadline, Result
from tests.farm.cutting import lost
from tests.fleet.release.places import PlainTransport

Failure = Literal["close", "kill", "flip"]


class FailingTransport(PlainTransport):
    """The stream fails after `at` bytes: it ends (`close`), all that runs on the host is killed (`kill`), or a bit is
    flipped and all goes on (`flip`).
    """

    at = 0
    failure: Failure = "close"
    process: subprocess.Popen[bytes] | None = None

    def stream_in(self, cmd: Cmd, chunks: Iterable[bytes], *, deadline: Deadline) -> Result:
        if self.failure == "flip":
            return super().stream_in(cmd, self._flipped(chunks), deadline=deadline)
        super().stream_in(cmd, self._cut(chunks), deadline=deadline)
        raise lost(self.name)

    def _cut(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        left = self.at
        for chunk in chunks:
            yield chunk[:left]
            left -= len(chunk[:left])
            if left == 0:
                break
        if self.failure == "kill" and self.process is not None:
            for pid in _family(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _flipped(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        seen = 0
        for chunk in chunks:
            if seen <= self.at < seen + len(chunk):
                place = self.at - seen
                yield chunk[:place] + bytes([chunk[place] ^ 1]) + chunk[place + 1 :]
            else:
                yield chunk
            seen += len(chunk)

    def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
        self.process = super()._start(cmd)
        return self.process


def _family(pid: int) -> list[int]:
    """A process and all below it: what runs under `timeout` has a process group of its own."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            found += _family(int(child))
    return found
