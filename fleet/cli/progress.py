"""Progress of transfers: one line on stderr that is written over, on a terminal and nowhere else."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

from fleet.cli.options import Invocation

_MIB: Final = 1 << 20
#: Seconds between two updates.
_PAUSE: Final = 0.1


class Transfer:
    """Bytes of all hosts together."""

    def __init__(self, invocation: Invocation, doing: str) -> None:
        self._shown = sys.stderr.isatty() and not invocation.quiet and not invocation.json
        self._doing, self._last = doing, 0.0
        self._bytes: dict[str, tuple[int, int]] = {}
        self._guard = threading.Lock()

    def update(self, name: str, done: int, total: int) -> None:
        """So many bytes of a host are through. May be called from any thread."""
        if not self._shown:
            return
        with self._guard:
            self._bytes[name] = (done, total)
            now = time.monotonic()
            if now - self._last < _PAUSE:
                return
            self._last = now
            all_done, all_total = (sum(values) for values in zip(*self._bytes.values(), strict=True))
            sys.stderr.write(f"\r{self._doing} {all_done / _MIB:.1f} of {all_total / _MIB:.1f} MiB\033[K")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
