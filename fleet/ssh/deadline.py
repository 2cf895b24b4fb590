"""A point in time by which something must be done, handed down through every call."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

from fleet.errors import DeadlinePassed


@dataclass(frozen=True, slots=True)
class Deadline:
    """An absolute time on the monotonic clock."""

    at: float
    seconds: float
    """How long it was when it was set, for messages."""

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The deadline so many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self.at

    def sooner(self, seconds: float) -> Deadline:
        """The nearer of this deadline and one so many seconds from now."""
        other = Deadline.after(seconds)
        return other if other.at < self.at else self

    def check(self, doing: str) -> None:
        """Raise DeadlinePassed, naming what was being done, if no time is left."""
        if self.passed():
            raise self.error(doing)

    def error(self, doing: str) -> DeadlinePassed:
        """The error that says that time ran out while `doing` something."""
        return DeadlinePassed(
            f"{doing} did not end within {self.seconds:g} s",
            why="every remote action has a deadline, so that one hung host cannot block a command for ever",
            fix="look at the host, or give it more time",
            example="fleet --timeout 600 deploy lab-a",
        )
