"""Installers as child processes: their output in the build log, their end with ours or with the connection.

The builder's stdin stays open as long as somebody waits for it. When it ends, the controller or the link is gone, and
the installer is ended too; if the builder itself is killed, the kernel ends the installer.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import re
import select
import signal
import subprocess
import time
from typing import Callable

_PR_SET_PDEATHSIG = 1
_TAIL = 20
#: Said a hundred times where nothing is missing; it is in the log all the same.
_UNINTERESTING = "Requirement already satisfied"
_LIBC = ctypes.CDLL(None)


class Refused(Exception):
    """The build cannot go on. `kind` names the error type for the controller, the rest is for its user."""

    def __init__(self, kind: str, what: str, why: str, fix: str) -> None:
        super().__init__(what)
        self.parts = {"kind": kind, "what": what, "why": why, "fix": fix}


class Installer:
    """Runs one program after another. Raises Refused when nobody waits for the build any more or time is over."""

    def __init__(self, log: str, seconds: float, tell: Callable[[str], None], lock: int) -> None:
        """`log` is appended to; `tell` gets every line of output; `lock` is a descriptor that children keep open."""
        self.log, self._tell, self._lock = log, tell, lock
        self._end = time.monotonic() + seconds
        self._seconds = seconds
        self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.tail: collections.deque[str] = collections.deque(maxlen=_TAIL)
        self._partial = b""

    def note(self, text: str) -> None:
        """Write a line of our own to the log."""
        self._write(f"# {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n".encode())

    def run(self, argv: list[str], cwd: str) -> int:
        """Run to the end, output to the log and to whoever is told, and return the status (128 + n for signal n)."""
        self.note(" ".join(argv))
        self.tail.clear()
        return self._wait(argv, cwd, self._take)

    def ask(self, argv: list[str], cwd: str) -> int:
        """The same for a question whose answer is the status: nobody is told what was said."""
        self.note(" ".join(argv))
        return self._wait(argv, cwd, self._write)

    def answer(self, argv: list[str], cwd: str) -> tuple[int, str]:
        """Run to the end and return the status and the output, which is not logged."""
        pieces: list[bytes] = []
        status = self._wait(argv, cwd, pieces.append)
        return status, b"".join(pieces).decode("utf-8", "replace")

    def _wait(self, argv: list[str], cwd: str, take: Callable[[bytes], None]) -> int:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
            start_new_session=True,
            pass_fds=(self._lock,),
        )
        assert process.stdout is not None
        try:
            self._drain(process.stdout.fileno(), take)
            status = process.wait()
        finally:
            # Not only the child: an installer may have started others.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        return status if status >= 0 else 128 - status

    def _drain(self, output: int, take: Callable[[bytes], None]) -> None:
        while True:
            ready = select.select([output, 0], [], [], max(0.0, self._end - time.monotonic()))[0]
            if 0 in ready and not os.read(0, 1 << 16):
                raise Refused(
                    "remote", "the build was given up", "the connection or its controller ended", "run it again"
                )
            if output in ready:
                piece = os.read(output, 1 << 16)
                if not piece:
                    return
                take(piece)
            elif not ready:
                words = f"the build did not end within {self._seconds:.0f} s"
                raise Refused("deadline", words, "an installer that hangs must not hold the lock", "give it more time")

    def _take(self, piece: bytes) -> None:
        self._write(piece)
        *lines, self._partial = (self._partial + piece).split(b"\n")
        for line in lines:
            text = re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]+", " ", line.decode("utf-8", "replace")).strip()
            if text and not text.startswith(_UNINTERESTING):
                self.tail.append(text)
                self._tell(text)

    def _write(self, data: bytes) -> None:
        # On a full disk the last lines still reach the user, through `tail`.
        with contextlib.suppress(OSError):
            os.write(self._file, data)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
