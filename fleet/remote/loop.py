"""Waiting for several things at once: output of the trainer, ended children, questions about a reservation, time."""

from __future__ import annotations

import os
import selectors
import signal
from typing import Any, Callable

#: Seconds between looks at what cannot wake the loop: requests in files, the group.
TICK = 0.2


class Loop:
    """Calls what belongs to a descriptor when it can be read. Signals wake it, children that end among them."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)
        self._selector.register(self._wake, selectors.EVENT_READ, self._drain)
        self.terminate = False
        """Whether this process was told to end."""
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        # Handlers, not SIG_IGN: an ignored signal would stay ignored in the trainer.
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, _woken_up)
        signal.signal(signal.SIGTERM, self._on_term)

    def watch(self, descriptor: Any, call: Callable[[], object]) -> None:
        """Call a function whenever a descriptor (or socket) can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, call)

    def forget(self, descriptor: Any) -> None:
        """Stop watching; a descriptor that is not watched is ignored."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def turn(self, seconds: float) -> None:
        """Wait until something can be read, but no longer than this, and call what belongs to it."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            key.data()

    def _drain(self) -> None:
        while True:
            try:
                if len(os.read(self._wake, 4096)) < 4096:
                    return
            except BlockingIOError:
                return

    def _on_term(self, number: int, frame: Any) -> None:
        self.terminate = True


def _woken_up(number: int, frame: Any) -> None:
    """A signal that only has to wake the loop: it did, through the descriptor."""
