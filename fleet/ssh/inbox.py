"""What has arrived for one remote command: both output streams in order of arrival, and how it ended."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque

from fleet.ssh.transport import Stream


class Inbox:
    """Filled by the connection's reading thread, emptied by the thread that waits for the command.

    Everything that can happen to a channel wakes the same condition, so one loop serves both output streams, the
    window for its input, its end and the caller's deadline.
    """

    def __init__(self) -> None:
        self.pieces: deque[tuple[Stream, bytes]] = deque()
        self.status: int | None = None
        """Exit status, 128 + n for signal n; None until the host has told it."""
        self.ended = False
        """No more output comes."""
        self.closed = False
        """The host has closed the channel. One closed without this was closed by us, or the connection was lost."""
        self.refused = False
        """The host would not start the command."""
        self.deaf = False
        """The command reads no more input."""
        self._changes = 0
        self._changed = threading.Condition()

    @property
    def changes(self) -> int:
        """A count to hand to `wait`, taken before looking at anything else."""
        return self._changes

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take output."""
        self.pieces.append((stream, data))
        self.notice()

    def notice(self) -> None:
        """Wake whoever waits: something has changed."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def wait(self, seen: int, until: float) -> bool:
        """Wait for a change after the count `seen`; False if the monotonic clock passes `until` before."""
        with self._changed:
            while self._changes == seen:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def died_of(self, name: str) -> None:
        """The command died of a signal, whose name comes without SIG."""
        number = getattr(signal, f"SIG{name}", None)
        self.status = 128 + number if isinstance(number, signal.Signals) else 255
