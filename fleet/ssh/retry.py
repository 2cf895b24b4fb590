"""Doing something again whose connection was lost in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from fleet.ssh.backoff import Backoff
from fleet.ssh.deadline import Deadline
from fleet.ssh.failures import ConnectionLost

T = TypeVar("T")


def retried(action: Callable[[], T], *, deadline: Deadline, tries: int = 3) -> T:
    """The result of an action, begun again when its connection was lost, after a short wait with jitter.

    Only for actions that change nothing on the host, or the same thing each time (by digest, by run id). A host that
    cannot be reached at all is not asked again: that has been tried for as long as connecting may take.
    """
    backoff = Backoff()
    while True:
        tries -= 1
        try:
            return action()
        except ConnectionLost:
            if tries == 0:
                raise
        time.sleep(min(backoff.next(), deadline.remaining()))
        deadline.check("beginning again after a lost connection")
