"""One sink behind a bounded queue and a thread of its own, so that a slow service never holds up a step."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

_WAITING = 1000
_CLOSE_SECONDS = 60.0


class Sink(Protocol):
    """Something that takes numbers by step."""

    name: str
    #: What the service raises when it cannot do its work.
    failures: tuple[type[Exception], ...]

    def open(self) -> None:
        """Connect; called on the sink's thread."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of one step."""

    def close(self) -> None:
        """Finish."""


class SinkThread:
    """Feeds one sink from a bounded queue."""

    def __init__(self, sink: Sink, on_failure: Callable[[str, str], None]) -> None:
        self._sink, self._on_failure = sink, on_failure
        self._queue: queue.Queue[tuple[int, dict[str, float]] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name=f"sink-{sink.name}", daemon=True)
        self.dropped = 0
        self._failed = threading.Event()
        self._thread.start()

    def put(self, step: int, numbers: dict[str, float]) -> None:
        """Queue a row; a full queue drops it and counts that, and a sink that failed takes none."""
        if self._failed.is_set():
            return
        try:
            self._queue.put_nowait((step, numbers))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Wait for what is queued, but not for a service that hangs."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        while not self._failed.is_set():
            try:
                self._queue.put(None, timeout=0.1)
                break
            except queue.Full:
                if time.monotonic() > deadline:
                    self._on_failure(self._sink.name, "the service did not take its rows in time")
                    return
        self._thread.join(_CLOSE_SECONDS)
        if self._failed.is_set():
            return
        if self._thread.is_alive():
            self._on_failure(self._sink.name, "the service did not finish in time")
        elif self.dropped:
            self._on_failure(self._sink.name, f"{self.dropped} rows were dropped because the service was slow")

    def _work(self) -> None:
        try:
            self._sink.open()
            while (row := self._queue.get()) is not None:
                self._sink.log(*row)
            self._sink.close()
        except self._sink.failures as error:
            self._failed.set()
            self._on_failure(self._sink.name, f"{type(error).__name__}: {error}")
