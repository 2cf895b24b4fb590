"""What silence means, asked of the host in a thread of its own, so that lines which come meanwhile are not held up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from fleet.errors import FleetError
from fleet.logs.channel import Opened, Status
from fleet.logs.records import RunState


@dataclass(frozen=True, slots=True)
class Answer:
    """What the host said. The state was asked first: what had been written before it is in `there`."""

    state: RunState | None
    """Where the run is in its life; None if there is no such run."""
    there: Opened | Status
    """What the host has at the position, or why it has nothing."""


class Question:
    """A question under way. The thread ends by itself when the host has answered or its deadline is over."""

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._answers: queue.SimpleQueue[Answer | FleetError] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(ask,), name="follow-ask", daemon=True).start()

    def answer(self) -> Answer | None:
        """The answer, once; None while there is none. Raises what went wrong with asking."""
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return None
        if isinstance(answer, FleetError):
            raise answer
        return answer

    def _run(self, ask: Callable[[], Answer]) -> None:
        try:
            self._answers.put(ask())
        except FleetError as error:
            self._answers.put(error)
