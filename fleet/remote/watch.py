"""What a supervisor does at every turn, whatever it waits for: read, collect, write, listen, beat."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from dataclasses import dataclass

from fleet.remote.attempt import Attempt
from fleet.remote.cgroups import RunGroup
from fleet.remote.classify import classify
from fleet.remote.group import Group, Order
from fleet.remote.launch import Launch
from fleet.remote.logs import Log
from fleet.remote.loop import TICK, Loop
from fleet.remote.pinning import Pinned
from fleet.remote.places import RunFiles
from fleet.remote.reporter import Reporter
from fleet.remote.reservations import Reservation
from fleet.remote.states import StateFile
from fleet.remote.stopping import Stop, Stops
from fleet.remote.subreaper import reap

#: Seconds that a trainer has to end after an order of the group.
ORDERED_GRACE = 2.0
#: Seconds between attempts to write to a disk that refuses.
RETRY = 0.5
_STDERR = 2


@dataclass
class Given:
    """Everything that `start` prepared for a supervisor."""

    launch: Launch
    pinned: Pinned
    files: RunFiles
    state: StateFile
    """In state `starting`, and written."""
    log: Log
    reservation: Reservation
    reporter: Reporter
    secrets: dict[str, str]
    control_group: RunGroup | None = None
    group: Group | None = None
    """The membership of a run on several hosts."""


class Watch:
    """The loop of a supervisor with all that is due at its turns."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._stops = Stops(given.files)
        self._order_stop: Stop | None = None
        self._retry_at = 0.0
        self.loop = Loop()
        self.attempt: Attempt | None = None
        """The attempt whose processes are collected and looked at."""
        self.order: Order | None = None
        """What the group's lead ordered and nobody has carried out yet."""
        self._told_of: Attempt | None = None
        """The attempt of which the group knows that a rank has failed."""
        for listener in given.reservation.sockets:
            self.loop.watch(listener, functools.partial(given.reservation.answer, listener))

    def turn(self, seconds: float = TICK) -> None:
        """Wait until something happens, at most `seconds` and never longer than a tick, and do what is due."""
        now = time.monotonic()
        flush_at = None if self._given.log.blocked else self._given.log.flush_at()
        self.loop.turn(min(seconds, TICK) if flush_at is None else min(seconds, TICK, flush_at - now))
        children = reap()
        if self.attempt is not None:
            self.attempt.note_ended(children)
            self.attempt.look()
        self._write(time.monotonic())
        self._listen()

    @property
    def stop(self) -> Stop | None:
        """The stop to be carried out, of whoever asked first; None while nobody did."""
        return self._stops.stop or self._order_stop

    @property
    def stopped_by_user(self) -> bool:
        """Whether a user, not the group, asked to stop."""
        return self._stops.stop is not None

    def tell_trainer(self, stop: Stop) -> None:
        """Leave the request to stop where the trainer looks."""
        try:
            self._stops.tell_trainer(stop.by)
        except OSError as error:
            say(f"control/stop.json could not be written: {error}")

    @property
    def ended_by_group(self) -> bool:
        """Whether the group, not a user, wants the attempt to end."""
        return self._order_stop is not None

    def take_order(self) -> Order | None:
        """The group's order, to be carried out by the caller; the stop that it meant is over."""
        order, self.order, self._order_stop = self.order, None, None
        return order

    def _write(self, now: float) -> None:
        """Write begun lines in time, and now and then what a disk refused before."""
        log, state = self._given.log, self._given.state
        if not log.blocked and state.problem is None:
            log.flush(now)
        elif now >= self._retry_at:
            self._retry_at = now + RETRY
            # The state first: what room there is must not go to the log.
            if state.problem is None or state.retry():
                log.flush(now)

    def _listen(self) -> None:
        grace = self._given.launch.grace
        try:
            self._stops.poll()
        except OSError as error:
            say(f"a request to stop could not be taken: {error}")
        if self.loop.terminate and self._stops.stop is None:
            self._stops.ask("SIGTERM to the supervisor", grace)
        if self._given.group is not None:
            self._listen_to(self._given.group)

    def _listen_to(self, group: Group) -> None:
        """Tell the group of stops and failures here, and take in what comes from elsewhere."""
        group.beat()
        if self._stops.stop is not None:
            group.report_stop(self._stops.stop)
        asked = group.asked_elsewhere()
        if asked is not None:
            self._stops.ask(f"fleet stop on {asked.by}", asked.grace, kill=asked.kill)
        attempt = self.attempt
        if attempt is not None and attempt.failing and attempt is not self._told_of and self.stop is None:
            self._told_of = attempt
            ending = classify(attempt.evidence(False, self._given.state.attempt))
            group.report_failing({**ending._asdict(), "step": None, "lines": []})
        order = group.orders()
        if order is not None:
            self.order = order
            self._end_attempt(order.reason)
        halted = None if attempt is None else group.halted()
        if halted is not None:
            self._end_attempt(halted)

    def _end_attempt(self, reason: str) -> None:
        """A peer is gone, so no step can end and nothing can be saved; what waits for the peer would wait for ever."""
        if self._order_stop is None:
            until = time.monotonic() + min(self._given.launch.grace, ORDERED_GRACE)
            self._order_stop = Stop(reason, time.time_ns(), until, kill=False)


def say(text: str) -> None:
    """Write a line to the supervisor's own log, which is its stderr; a full disk does not matter here."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{moment} {text}\n".encode("utf-8", "backslashreplace"))
