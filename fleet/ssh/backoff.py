"""How long to wait before the next attempt to reach a host."""

from __future__ import annotations

import random


class Backoff:
    """Waits that double from `first` to `last` seconds, each shortened at random by up to half: many followers that
    lost one link shall not all come back at once.
    """

    def __init__(self, first: float = 0.2, last: float = 5.0) -> None:
        self._first, self._last = first, last
        self._wait = first

    def next(self) -> float:
        """Seconds to wait now; the following wait is twice as long."""
        wait, self._wait = self._wait, min(2 * self._wait, self._last)
        return max(self._first, wait * random.uniform(0.5, 1.0))

    def reset(self) -> None:
        """Begin again with the shortest wait, after something went well."""
        self._wait = self._first
