"""What has arrived for one remote command: both output streams in order of arrival, and how it ended."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import deque

from fleet.ssh.transport import Stream


class Inbox:
    """Filled by the connection's reading thread, emptied by the thread that waits for the command.

    Everything that can happen to a channel rings the same bell, so one loop serves both output streams, the window for
    its input, its end and the caller's deadline. Any thread may ring; one waits.
    """

    def __init__(self) -> None:
        self.pieces: deque[tuple[Stream, bytes]] = deque()
        self.status: int | None = None
        """Exit status, 128 + n for signal n; None until the host has told it."""
        self.ended = False
        """No more output comes: all has, the command was closed by us, or the connection was lost."""
        self.whole = False
        """The host has said that no more output comes. It tells a status as soon as the process has ended, before the
        rest of the output has left the pipe, so a status without this is one of a command whose output was cut off."""
        self.closed = False
        """The host has closed the channel. One closed without this was closed by us, or the connection was lost."""
        self.refused = False
        """The host would not start the command."""
        self.deaf = False
        """The command reads no more input."""
        self._changes = object()
        #: Held while nobody has rung. A condition costs several locks for each packet.
        self._bell = threading.Lock()
        self._bell.acquire()

    @property
    def changes(self) -> object:
        """A mark to hand to `wait`, taken before looking at anything else. Each change makes another one."""
        return self._changes

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take output."""
        self.pieces.append((stream, data))
        self.notice()

    def notice(self) -> None:
        """Wake whoever waits: something has changed."""
        # Before the bell, so that whoever hears an older ring sees it.
        self._changes = object()
        if self._bell.locked():
            # Another thread may have rung since.
            with contextlib.suppress(RuntimeError):
                self._bell.release()

    def wait(self, seen: object, until: float) -> bool:
        """Wait for a change after the mark `seen`; False if the monotonic clock passes `until` before."""
        while self._changes is seen:
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._bell.acquire(timeout=left)
        return True

    def died_of(self, name: str) -> None:
        """The command died of a signal, whose name comes without SIG."""
        number = getattr(signal, f"SIG{name}", None)
        self.status = 128 + number if isinstance(number, signal.Signals) else 255
