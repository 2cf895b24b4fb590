"""What a supervisor tells the `start` that made it, over a pipe, until the start is confirmed or has failed."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

#: Seconds that a trainer which only wrote to stderr must go on living: its first words may be its last.
SETTLE = 1.0


class Reporter:
    """The writing end. `start` may be gone, cut off together with its connection; nothing depends on it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @property
    def open(self) -> bool:
        """Whether `start` still waits for the outcome."""
        return self._descriptor is not None

    def tell(self, outcome: str, facts: dict[str, Any]) -> None:
        """Say how the start went, once and for all."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        line = memoryview(json.dumps({"outcome": outcome, **facts}).encode("ascii") + b"\n")
        with contextlib.suppress(BrokenPipeError):
            while line:
                line = line[os.write(descriptor, line) :]
        os.close(descriptor)


def read_outcome(descriptor: int) -> dict[str, Any] | None:
    """The reading end: wait for the outcome; None if the supervisor ended without one."""
    parts = []
    while True:
        part = os.read(descriptor, 1 << 16)
        if not part:
            break
        parts.append(part)
    text = b"".join(parts)
    outcome = json.loads(text) if text.endswith(b"\n") else None
    return outcome if isinstance(outcome, dict) else None
