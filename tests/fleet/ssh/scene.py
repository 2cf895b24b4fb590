"""Words that the tests of connections share."""

from __future__ import annotations

import time
from collections.abc import Callable

from fleet.ssh import Cmd, Deadline

#: Seconds for anything that should work at once: only a failure takes them.
SOON = 20.0


def sh(text: str, *arguments: str) -> Cmd:
    """A line of shell, with its `$0`, `$1`, ..."""
    return Cmd(("sh", "-c", text, *arguments))


def soon() -> Deadline:
    """A deadline that only a failure reaches."""
    return Deadline.after(SOON)


def wait_for(true: Callable[[], object], seconds: float = SOON) -> None:
    """Poll until it holds."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.01)
