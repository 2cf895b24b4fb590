"""The same work on many hosts at once, where one that hangs delays nobody."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from fleet.errors import FleetError
from fleet.ssh.deadline import Deadline

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What came of one host: a value, or the error that explains why there is none."""

    name: str
    value: T | None
    error: FleetError | None
    seconds: float
    """From the start of its work."""

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.error is None


class _Bug:
    """Catches what a job may not raise, to raise it in the thread that waits instead of in one that nobody watches."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        return True


def fan_out(
    names: Iterable[str], job: Callable[[str], T], *, jobs: int = 32, deadline: Deadline
) -> Iterator[Outcome[T]]:
    """Do `job(name)` for every name, at most `jobs` at once, and yield outcomes as they come.

    A FleetError of a job becomes its outcome; anything else is a bug and is raised here. What is not done at the
    deadline is abandoned: its outcome says DeadlinePassed, its thread ends by itself and keeps no process alive. Every
    name has exactly one outcome, unless the caller stops listening; then what has not begun is never begun.
    """
    work = _Work(names, job)
    try:
        yield from work.outcomes(jobs, deadline)
    finally:
        work.waiting.clear()


class _Work(Generic[T]):
    def __init__(self, names: Iterable[str], job: Callable[[str], T]) -> None:
        self.waiting = deque(names)
        self._job = job
        self._open = list(self.waiting)
        self._begun: dict[str, float] = {}
        self._done: queue.SimpleQueue[Outcome[T] | BaseException] = queue.SimpleQueue()

    def outcomes(self, jobs: int, deadline: Deadline) -> Iterator[Outcome[T]]:
        # Daemon threads, and not an executor: that one's workers are waited for at the end of the process.
        for number in range(min(jobs, len(self.waiting))):
            threading.Thread(target=self._take_turns, name=f"fan-out {number}", daemon=True).start()
        while self._open:
            try:
                outcome = self._done.get(timeout=max(0.0, deadline.remaining()))
            except queue.Empty:
                break
            if isinstance(outcome, BaseException):
                raise outcome
            self._open.remove(outcome.name)
            yield outcome
        self.waiting.clear()
        now = time.monotonic()
        for name in self._open:
            seconds = now - self._begun.get(name, now)
            yield Outcome(name, None, deadline.error(f"the work on {name}").on(name), seconds)

    def _take_turns(self) -> None:
        while True:
            try:
                name = self.waiting.popleft()
            except IndexError:
                return
            self._begun[name] = begun = time.monotonic()
            value, error = None, None
            with _Bug() as bug:
                try:
                    value = self._job(name)
                except FleetError as failure:
                    error = failure.on(failure.host or name)
            if bug.error is not None:
                self._done.put(bug.error)
                return
            self._done.put(Outcome(name, value, error, time.monotonic() - begun))
