"""Result rows on their way from the device to the host, without stopping either.

Each row is copied to pinned memory behind its step and read when the device has passed it. The host may run one step
ahead: before it enqueues step n+1 it waits for step n-1, which never leaves the device idle.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

Context = TypeVar("Context")


@dataclass(frozen=True)
class Result(Generic[Context]):
    """One step's numbers, how long it took in milliseconds from the end of the step before, and what came with it."""

    values: list[float]
    milliseconds: float
    context: Context


class Readback(Generic[Context]):
    """A queue of rows in flight; times steps by device events on a GPU and by the clock elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._rows: deque[tuple[Tensor, torch.cuda.Event | None, float, Context]] = deque()
        self._mark_event: torch.cuda.Event | None = None
        self._mark_time = 0.0
        self.mark()

    def mark(self) -> None:
        """The next step begins now: what came before (evaluation, saving) does not count as its time."""
        assert not self._rows, "rows in flight would be timed from the wrong mark"
        self._mark_time = time.perf_counter()
        if self._cuda:
            self._mark_event = torch.cuda.Event(enable_timing=True)
            self._mark_event.record()

    def push(self, row: Tensor, context: Context) -> None:
        """Take a step's row, just enqueued."""
        event = None
        if self._cuda:
            host = torch.empty(row.shape, dtype=row.dtype, pin_memory=True)
            row = host.copy_(row, non_blocking=True)
            event = torch.cuda.Event(enable_timing=True)
            event.record()
        self._rows.append((row, event, time.perf_counter(), context))

    def take(self, in_flight: int) -> list[Result[Context]]:
        """Wait until at most `in_flight` rows remain, and return those that arrived, oldest first."""
        results = []
        allowed = in_flight if self._cuda else 0
        while len(self._rows) > allowed:
            row, event, ended, context = self._rows.popleft()
            if event is not None:
                assert self._mark_event is not None
                event.synchronize()
                milliseconds, self._mark_event = self._mark_event.elapsed_time(event), event
            else:
                milliseconds, self._mark_time = (ended - self._mark_time) * 1e3, ended
            results.append(Result(row.tolist(), milliseconds, context))
        return results
