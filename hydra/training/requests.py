"""Requests to a live run, from signals and from files, agreed on by all ranks."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from hydra.runs import ControlPoller
from hydra.training.journal import Journal
from hydra.training.signals import Requests
from hydra.training.world import Agreement, World

log = logging.getLogger("hydra.training")

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Asked:
    """What all ranks do at this boundary."""

    stop: bool
    save: bool
    evaluate: bool


class Inbox:
    """Collects this rank's requests while a step runs and reads what all ranks agreed on at its end."""

    def __init__(self, requests: Requests, poller: ControlPoller | None, journal: Journal, world: World) -> None:
        self._requests, self._poller, self._journal = requests, poller, journal
        self._alone, self._world = world.size == 1, world
        self._agreement = Agreement(world, 3)
        self._polled = 0.0
        self._told: str | None = None

    def stopped_early(self) -> bool:
        """Before the first step: whether any rank was asked to stop while the run was being prepared."""
        return bool(self._world.largest([int(self._flags()[0])])[0])

    def start(self) -> None:
        """At the start of a step: post what was asked so far."""
        if not self._alone:
            self._agreement.start(self._flags())

    def result(self) -> Asked:
        """At its end: what to do now."""
        stop, save, evaluate = self._agreement.result(self._flags() if self._alone else [])
        return Asked(stop, save, evaluate)

    def _flags(self) -> list[bool]:
        self._poll()
        requests = self._requests
        if requests.stop is not None and self._told is None:
            self._told = requests.stop
            self._journal.event("signal.received", data={"signal": requests.stop})
        return [requests.stop is not None, requests.take_save(), requests.take_evaluate()]

    def _poll(self) -> None:
        if self._poller is None or time.monotonic() - self._polled < _POLL_SECONDS:
            return
        self._polled = time.monotonic()
        pending = self._poller.pending()
        for refused in self._poller.rejected:
            log.warning("control/%s was refused: %s", refused.name, refused.reason)
        self._poller.rejected.clear()
        for request in pending:
            if request.kind == "stop":
                self._requests.stop = self._requests.stop or "control/stop.json"
            elif request.kind == "save":
                self._requests.save = True
            elif request.kind == "eval":
                self._requests.evaluate = True
