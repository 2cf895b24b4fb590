"""How many commands may run over one connection at the same time."""

from __future__ import annotations

import threading

from fleet.ssh.deadline import Deadline


class Slots:
    """A semaphore whose limit can go down: some servers allow fewer sessions than OpenSSH's ten."""

    def __init__(self, limit: int) -> None:
        self._limit, self._taken = limit, 0
        self._changed = threading.Condition()

    def take(self, deadline: Deadline, doing: str) -> None:
        """Wait for a free slot. Raises DeadlinePassed."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._taken < self._limit, deadline.remaining()):
                raise deadline.error(doing)
            self._taken += 1

    def give_back(self) -> None:
        """The slot's command has ended."""
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def lower(self, deadline: Deadline, doing: str) -> bool:
        """The server refused a session to whoever holds a slot: allow only as many as it has now, and wait for one of
        them to end. False, at once, if it has none. Raises DeadlinePassed.
        """
        with self._changed:
            others = self._taken - 1
            if others == 0:
                return False
            self._limit = min(self._limit, others)
            self._taken -= 1
            free = self._changed.wait_for(lambda: self._taken < self._limit, deadline.remaining())
            self._taken += 1
        if not free:
            raise deadline.error(doing)
        return True
