"""The supervisor: one process on the host that lives exactly as long as its run and explains how it ended.

It holds the run's lock and its devices, starts the trainer, keeps its log, restarts it within a budget, stops it when
asked, and writes `state.json`. It needs no connection, no terminal and no other process of fleet.
"""

from __future__ import annotations

import os
import time

from fleet.remote.aftermath import Aftermath
from fleet.remote.attempt import Attempt
from fleet.remote.classify import Ending, classify, failed_to_start
from fleet.remote.events import last_beginning
from fleet.remote.frames import ERR, OUT
from fleet.remote.group import Go
from fleet.remote.launch import RUN_DIR
from fleet.remote.loop import TICK
from fleet.remote.processes import Process, Snapshot
from fleet.remote.reporter import SETTLE
from fleet.remote.states import exit_field, start_field
from fleet.remote.surroundings import child_environment
from fleet.remote.sweep import sweep
from fleet.remote.watch import Given, Watch, say

#: Seconds that what a trainer left behind has to end by itself after a good end.
_LINGER = 5.0
#: Seconds to read the rest of an output that somebody out of reach holds open.
_DRAIN = 5.0


class Supervisor:
    """The life of one run."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._launch, self._files, self._state, self._log = given.launch, given.files, given.state, given.log
        self._watch = Watch(given)
        self._after = Aftermath(given, self._watch)
        self._first = given.state.attempt
        self._survivors: list[Process] = []
        self._running_since = 0.0
        self._heard_since: float | None = None

    def run(self) -> Ending:
        """Live until the run has ended and its end is written down; returns how it ended."""
        self._state.set_aside()
        step: int | None = None
        while True:
            go = self._gather()
            ending = go if isinstance(go, Ending) else self._one_attempt(step if go.step is None else go.step)
            following = self._after.what_next(ending)
            if following.wait is None:
                return self._after.finish(following.ending, self._survivors)
            step = self._after.back_off(following.ending, following.wait)
            if self._watch.stop is not None:
                return self._after.finish(self._after.cut_short(following.ending), self._survivors)

    def _gather(self) -> Go | Ending:
        """Wait until all nodes of a group are ready; a run on one host always is."""
        group = self._given.group
        if group is None:
            return Go(None)
        newest = self._after.newest_step()
        prescribed = self._prescribed_step()
        group.ready(self._state.attempt, newest if prescribed is None else prescribed)
        while self._watch.stop is None:
            self._watch.turn()
            go = group.wait_start()
            if go is not None:
                return go
        return Ending("stopped", exit_field(kind="requested"))

    def _prescribed_step(self) -> int | None:
        """The step that a resume was told to continue from; None if it takes the newest."""
        steps = [word.partition("@")[2] for word in self._argv(None) if word.partition("@")[0] == RUN_DIR]
        return next((int(step) for step in steps if step), None)

    def _one_attempt(self, step: int | None) -> Ending:
        """Start the trainer, and stay with it until nothing of it is left."""
        given, number = self._given, self._state.attempt
        attempt = Attempt(self._launch, given.pinned, self._files, self._log, self._watch.loop, given.control_group)
        self._log.begin()
        environment = child_environment(self._launch, self._files, number, given.secrets)
        try:
            leader = attempt.start(self._argv(step), environment)
        except OSError as error:
            return failed_to_start(error, given.pinned.python)
        self._watch.attempt = attempt
        self._running_since, self._heard_since = time.monotonic(), None
        self._state.enter("running", leader=start_field(leader))
        while not attempt.ended:
            self._watch.turn()
            self._confirm()
            self._carry_out_stop(attempt)
        say(f"process {leader.pid} ended: status {attempt.code}, signal {attempt.signal}")
        self._clear(attempt)
        ending = classify(attempt.evidence(self._watch.stop is not None, number))
        attempt.close()
        self._watch.attempt = None
        return ending

    def _argv(self, step: int | None) -> tuple[str, ...]:
        """What follows the interpreter: a new run, its resume, or its restart, at a step if one is prescribed."""
        launch = self._launch
        if not os.path.exists(self._files.file("manifest.yaml")):
            return launch.argv
        began, _ = last_beginning(self._files.events)
        # A step or a changed setting of the resume holds until an attempt began to train with it, and not again.
        resumed = began >= self._first
        words = launch.restart_argv if resumed else launch.resume_argv
        if step is not None:
            return tuple(f"{RUN_DIR}@{step}" if word.partition("@")[0] == RUN_DIR else word for word in words)
        return tuple(RUN_DIR if resumed and word.startswith(RUN_DIR + "@") else word for word in words)

    def _confirm(self) -> None:
        """Tell `start` that the run is on its way: it has written something, or lived for long enough."""
        if not self._given.reporter.open:
            return
        now = time.monotonic()
        if self._heard_since is None and (self._log.heard(OUT) or self._log.heard(ERR)):
            self._heard_since = now
        settled = self._heard_since is not None and now - self._heard_since >= SETTLE
        if self._log.heard(OUT) or settled:
            self._given.reporter.tell("confirmed", {"confirmed": "line"})
        elif now - self._running_since >= self._launch.confirm_seconds:
            self._given.reporter.tell("confirmed", {"confirmed": "alive"})

    def _carry_out_stop(self, attempt: Attempt) -> None:
        """When asked to stop: TERM at once, and everything killed when the grace is over."""
        stop = self._watch.stop
        if stop is None or attempt.ended:
            return
        if self._state.state != "stopping":
            say(f"stopping, asked by {stop.by}")
            self._state.enter("stopping")
            if not stop.kill:
                self._watch.tell_trainer(stop)
        if not stop.kill and time.monotonic() < stop.deadline:
            attempt.terminate()
            return
        self._kill()
        if not attempt.ended:
            attempt.abandon()

    def _clear(self, attempt: Attempt) -> None:
        """End what the leader left behind, and read all that was written."""
        stop = self._watch.stop
        if attempt.code == 0 and (stop is None or not stop.kill):
            until = time.monotonic() + _LINGER
            while time.monotonic() < until and Snapshot().of_run(self._launch.run, os.getpid(), self._files.path):
                self._watch.turn()
        self._kill()
        attempt.drain()
        until = time.monotonic() + _DRAIN
        while not attempt.silent and not self._log.blocked and time.monotonic() < until:
            self._watch.turn(until - time.monotonic())

    def _kill(self) -> None:
        killed, self._survivors = sweep(
            self._launch.run,
            supervisor=os.getpid(),
            group=self._given.control_group,
            folder=self._files.path,
            pause=lambda seconds: self._watch.turn(min(seconds, TICK)),
        )
        if killed:
            say(f"killed {killed} processes; {len(self._survivors)} survive")
