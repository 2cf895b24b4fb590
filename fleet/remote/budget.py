"""The restart budget: how often a run that failed is started again, after which wait, and when that makes no sense."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from fleet.remote.classify import BUG, Ending

#: Seconds over which restarts are counted.
WINDOW = 3600.0
#: Part of a wait by which it is made longer or shorter, so that many runs do not restart in step.
JITTER = 0.2


class Decision(NamedTuple):
    """Whether to start again."""

    wait: float | None
    """Seconds until the restart; None for no restart."""
    reason: str
    """Why there is none; empty if there is one."""


class Budget:
    """Counts the restarts of one supervisor. Restarts have one owner: launchers are told to make none."""

    def __init__(self, limit: int, waits: tuple[float, ...], *, random_source: random.Random | None = None) -> None:
        """`limit` restarts in a rolling hour; `waits` are seconds before the first, second, ... of them."""
        self._limit, self._waits = limit, waits
        self._random = random_source or random.Random()
        self._made: list[float] = []
        self._bugs: list[float] = []
        self._before: tuple[Any, ...] | None = None

    def decide(self, ending: Ending, step: int | None, now: float) -> Decision:
        """Judge an attempt that ended at `step`; `now` is monotonic. A restart that is granted counts at once."""
        signature = (*ending.signature, step)
        again, self._before = signature == self._before, signature
        self._made = [moment for moment in self._made if now - moment < WINDOW]
        self._bugs = [moment for moment in self._bugs if now - moment < WINDOW]
        refused = self._refusal(ending, step, again)
        if refused:
            return Decision(None, refused)
        wait = self._waits[min(len(self._made), len(self._waits) - 1)]
        self._made.append(now)
        if ending.code == BUG:
            self._bugs.append(now)
        return Decision(wait * self._random.uniform(1 - JITTER, 1 + JITTER), "")

    def _refusal(self, ending: Ending, step: int | None, again: bool) -> str:
        if not ending.exit["retry"] or ending.state == "stopped":
            return "starting again cannot help"
        if len(self._made) >= self._limit:
            return f"{self._limit} restarts in an hour are spent" if self._limit else "restarts are turned off"
        if again and ending.exit["culprit"] and ending.exit["culprit"]["exception"]:
            return f"the same error came twice at step {step}"
        if ending.code == BUG and self._bugs:
            return "a bug is given one restart"
        return ""
