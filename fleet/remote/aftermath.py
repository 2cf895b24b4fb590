"""After an attempt: whether another one follows, the wait before it, and the end of the run."""

from __future__ import annotations

import math
import time
from typing import Any, Callable, NamedTuple

from fleet.remote import conclusion
from fleet.remote.budget import Budget
from fleet.remote.checkpoints import Search, Verified
from fleet.remote.classify import Ending
from fleet.remote.conclusion import Verification
from fleet.remote.events import final_record
from fleet.remote.figures import last_step
from fleet.remote.group import Group, Order
from fleet.remote.processes import Process
from fleet.remote.watch import RETRY, Given, Watch, say

#: Seconds to wait for what the lead of a group decides after a failure.
_ORDER_SECONDS = 30.0
#: Seconds in which the nodes of a group, each asked to stop, may learn that the run was completed just before.
_AGREE_SECONDS = 2.0
#: Seconds to try to write the last frames and the last state on a disk that refuses.
_LOG_INSIST, _STATE_INSIST = 3.0, 300.0


class Following(NamedTuple):
    """What comes after an attempt."""

    ending: Ending
    """How it ended, or how the whole group's attempt did."""
    wait: float | None
    """Seconds until the next attempt; None if there is none."""
    lines: tuple[str, ...] = ()
    """The last lines of the node that failed, if that was another one."""


class Aftermath:
    """Decides and writes down what comes after each attempt of one run."""

    def __init__(self, given: Given, watch: Watch) -> None:
        self._given, self._watch = given, watch
        self._files, self._state, self._log = given.files, given.state, given.log
        self._budget = Budget(given.launch.max_restarts, given.launch.waits)
        self._search: Search | None = None
        self._restarts = 0

    def newest_step(self) -> int | None:
        """Step of the newest good checkpoint, looked for if that was not done yet."""
        if self._search is None:
            self._search = Verification(self._files).result(self._watch.turn)
        return None if self._search.verified is None else self._search.verified.step

    def what_next(self, ending: Ending) -> Following:
        """Judge the end of an attempt. `start` hears of it if it still waits."""
        following = self._decided(ending)
        facts = {"restart_in": following.wait, "lines": following.lines or self._log.last_lines()}
        self._given.reporter.tell("ended", {**following.ending._asdict(), **facts})
        return following

    def cut_short(self, ending: Ending) -> Ending:
        """The end of a run that was stopped while it waited for a restart: by its group, or by a user."""
        order = self._watch.take_order()
        return Ending("stopped", {**ending.exit, "kind": "requested"}) if order is None else _judged(ending, order)

    def _decided(self, ending: Ending) -> Following:
        step = last_step(self._files, self._state.attempt)
        say(f"attempt {self._state.attempt} ended: {ending.state} {ending.exit} at step {step}")
        if self._given.group is not None:
            return self._together(self._given.group, ending, step)
        if ending.state == "completed" or self._watch.stopped_by_user:
            return Following(ending, None)
        decision = self._budget.decide(ending, step, time.monotonic())
        if decision.reason:
            say(f"no restart: {decision.reason}")
        return Following(ending, decision.wait)

    def back_off(self, ending: Ending, wait: float) -> int | None:
        """Wait before a restart, find the checkpoint it continues from, and begin the next attempt.

        Returns the step to prescribe: only when a newer checkpoint is torn, since otherwise the trainer finds it alone.
        """
        attempt = self._state.attempt
        self._log.end("backoff", ending.exit)
        self._state.enter("backoff", exit=ending.exit, leader=None, **self._position(attempt))
        self._attempted(lambda: self._record_final(attempt, ending, None))
        verification, until = Verification(self._files), time.monotonic() + wait
        while self._watch.stop is None and (time.monotonic() < until or not verification.done):
            self._watch.turn(max(0.0, until - time.monotonic()) or 0.05)
        if self._watch.stop is not None:
            return None
        self._search = search = verification.result(self._watch.turn)
        self._restarts += 1
        self._attempted(lambda: conclusion.record_rejected(self._files, attempt, search))
        self._attempted(
            lambda: conclusion.record_restart(self._files, attempt + 1, ending, self._restarts, search.verified)
        )
        self._state.enter(
            "starting",
            attempt=attempt + 1,
            exit=None,
            restarts_used=self._restarts,
            last_verified_checkpoint=_field(search.verified),
        )
        return search.verified.step if search.rejected and search.verified is not None else None

    def finish(self, ending: Ending, survivors: list[Process]) -> Ending:
        """Free the devices, prove the checkpoint, and write the end: event, log, state. Returns the ending."""
        attempt = self._state.attempt
        group, self._given.group = self._given.group, None
        if group is not None:
            # Before the end is written: who reads of it may start the next attempt, and its lead needs the port.
            group.close()
        for listener in self._given.reservation.sockets:
            self._watch.loop.forget(listener)
        self._given.reservation.close()
        if self._given.control_group is not None:
            self._given.control_group.remove()
        search = Verification(self._files).result(self._watch.turn)
        recorded = self._attempted(lambda: self._record_final(attempt, ending, search))
        stop = self._watch.stop
        if stop is not None:
            proven = conclusion.proof(self._files, attempt, search.verified, stop.asked_ns)
            self._attempted(lambda: conclusion.write_stop_report(self._files, stop, proven, survivors))
        self._log.end(ending.state, ending.exit)
        self._insist(lambda: not self._log.blocked, _LOG_INSIST)
        self._state.enter(
            ending.state,
            exit=ending.exit,
            last_verified_checkpoint=_field(search.verified),
            **self._position(attempt),
        )
        self._insist(lambda: self._state.problem is None, _STATE_INSIST)
        # Until here for the state alone; now the rest may have it.
        self._state.free_reserve()
        if not recorded:
            self._attempted(lambda: self._record_final(attempt, ending, search))
        self._log.close()
        return ending

    def _together(self, group: Group, ending: Ending, step: int | None) -> Following:
        """In a group, tell how the attempt ended here and wait for what follows from all of it."""
        watch, well = self._watch, ending.state in ("completed", "stopped")
        until = math.inf
        if watch.stopped_by_user:
            # It is over whatever the others say; after a good end they may know that it was completed.
            until = time.monotonic() + (_AGREE_SECONDS if ending.code == 0 else 0.0)
        if well and (ending.state == "completed" or not watch.ended_by_group):
            group.report_end(ending.state)
        elif not watch.ended_by_group:
            group.report_failure({**ending._asdict(), "step": step, "lines": self._log.last_lines()})
            until = time.monotonic() + _ORDER_SECONDS
        while watch.order is None and group.verdict() is None and time.monotonic() < until:
            watch.turn()
        verdict, order = group.verdict(), watch.take_order()
        if verdict is not None and well:
            return Following(_agreed(ending, verdict), None)
        if order is None or watch.stopped_by_user:
            return Following(ending, None)
        again = order.action == "restart"
        said = order.reason + (f"; starting again in {order.wait:.0f} s" if again else "")
        say(said)
        self._log.say(said)
        return Following(_judged(ending, order), order.wait if again else None, order.lines)

    def _record_final(self, attempt: int, ending: Ending, search: Search | None) -> None:
        if final_record(self._files.events, attempt) is not None:
            return
        if search is not None:
            conclusion.record_rejected(self._files, attempt, search)
        conclusion.record_final(self._files, attempt, ending, None if search is None else search.verified)

    def _position(self, attempt: int) -> dict[str, Any]:
        step = last_step(self._files, attempt)
        known = {} if step is None else {"last_step": step}
        return {**known, "log_offset": self._log.offset}

    def _attempted(self, write: Callable[[], None]) -> bool:
        """Write something that the end of the run does not depend on; returns whether the disk took it."""
        try:
            write()
        except OSError as error:
            say(f"could not be written: {error}")
            return False
        return True

    def _insist(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait for a disk that refuses: the end of a run should be told."""
        until = time.monotonic() + seconds
        while not done() and time.monotonic() < until:
            self._watch.turn(RETRY)


def _agreed(ending: Ending, state: str) -> Ending:
    """A good end as rank 0 has recorded it: a stop that was asked on another node looks completed here."""
    if state == ending.state:
        return ending
    return Ending(state, {**ending.exit, "kind": None if state == "completed" else "requested"})


def _judged(ending: Ending, order: Order) -> Ending:
    """The end as the lead judged it, whose culprit may be on another node."""
    return Ending(order.state or ending.state, ending.exit if order.exit is None else order.exit)


def _field(verified: Verified | None) -> dict[str, Any] | None:
    return None if verified is None else verified.field()
