"""What the lead of a run on several hosts decides: when all start, what follows from a failure, how the run ended.

Decisions alone: no sockets and no clock of its own. A restart has one owner, and this is it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fleet.remote.budget import Budget
from fleet.remote.checkpoints import BUDGET
from fleet.remote.classify import Ending
from fleet.remote.culprits import Culprits, Failure
from fleet.remote.group_status import Said, Told
from fleet.remote.launch import Launch
from fleet.remote.states import culprit_field, exit_field

#: Seconds that nodes have to end after rank 0 has ended well.
LINGER = 30.0
#: Seconds that a node which is there may take to get ready, beyond the patience: it reads its checkpoints.
PREPARE = BUDGET + 60.0


class _Stop(NamedTuple):
    """What users asked for, all of it together."""

    by: str
    """Name of the node that was asked first."""
    deadline: float
    kill: bool


class Coordinator:
    """The state of the group, from what its members say. Times are those of one monotonic clock, in seconds."""

    def __init__(self, launch: Launch, *, silence: float, patience: float) -> None:
        """After `silence` a node counts as gone, after `patience` one that never came as absent."""
        assert launch.group is not None
        self._names = tuple(node.name for node in launch.group.nodes)
        self._ranks = launch.nproc
        self._silence, self._patience = silence, patience
        self._budget = Budget(launch.max_restarts, launch.waits)
        self._heard: dict[int, float] = {}
        self._said: dict[int, Said] = {}
        self._attempt = 0
        self._step: int | None = None
        self._gathering_since: float | None = None
        self._culprits = Culprits()
        self._order: dict[str, Any] | None = None
        """What follows the attempt; None while that is open."""
        self._orders = 0
        self._stop: _Stop | None = None
        self._ended_well_at: float | None = None
        self._verdict: str | None = None
        self.version = 0
        """Grows with everything that the members should know at once."""

    def hear(self, node: int, now: float) -> None:
        """A sign of life of a node."""
        self._heard[node] = now

    def take(self, node: int, said: Said, now: float) -> None:
        """The newest status of a node."""
        self.hear(node, now)
        self._said[node] = said
        if said.stop is not None:
            self._ask_stop(node, float(said.stop["grace"]), bool(said.stop["kill"]), now)
        if said.attempt == self._attempt and self._order is None:
            before = self._culprits.suspect
            self._culprits.hear(node, said, now)
            self.version += before is None and self._culprits.suspect is not None
        self.look(now)

    def look(self, now: float) -> None:
        """Decide what follows from what is known, and from how long it has been so."""
        zero = self._said.get(0)
        if zero is not None and zero.ended is not None and self._verdict is None:
            self._conclude(zero.ended, now)
        if self._final or self._ended_well_at is not None:
            return
        gone = next(filter(None, (self._gone(node, now) for node in self._heard)), None)
        if gone is not None:
            self._lose(*gone)
        elif self._attempt == 0 or self._order is not None:
            self._gather(now)
        elif (failure := self._culprits.due(now)) is not None:
            self._judge(failure, now)

    def told(self, node: int, now: float, *, closing: bool = False) -> Told:
        """What a node should know."""
        stop, suspect = self._stop, self._culprits.suspect
        # The node of the first failure ends by itself, and must be able to tell how.
        halted = suspect is not None and suspect.node != node and self._order is None
        return Told(
            attempt=self._attempt,
            step=self._step,
            halt=f"{self._culprit(suspect)} failed" if halted and suspect is not None else None,
            order=self._order,
            stop=stop and {"by": stop.by, "grace": max(0.0, stop.deadline - now), "kill": stop.kill},
            verdict=self._verdict,
            closing=closing,
        )

    def silent(self, node: int, now: float) -> bool:
        """Whether nothing came from a node for too long."""
        return now - self._heard.get(node, now) > self._silence

    @property
    def _final(self) -> bool:
        """Whether the end of the run was ordered."""
        return self._order is not None and self._order["action"] == "stop"

    def _missing(self) -> tuple[str, ...]:
        """Names of the nodes that are not ready for the attempt that others are ready for."""
        newest = max((said.attempt for said in self._said.values()), default=0)
        ready = {node for node, said in self._said.items() if said.ready and said.attempt == newest}
        return tuple(name for node, name in enumerate(self._names) if node not in ready)

    def _gather(self, now: float) -> None:
        """Start all when the last one is ready, and none if one does not come."""
        begun = any(said.ready and said.attempt > self._attempt for said in self._said.values())
        if self._stop is not None or not begun:
            return
        if self._gathering_since is None:
            self._gathering_since = now
        missing = self._missing()
        if not missing:
            self._go()
            return
        absent = tuple(name for node, name in enumerate(self._names) if node not in self._heard)
        limit = self._patience if absent else self._patience + PREPARE
        if now - self._gathering_since > limit:
            message = f"not every node got ready within {limit:.0f} s; missing: {', '.join(absent or missing)}"
            self._give_up("NotReady", self._names.index((absent or missing)[0]), message)

    def _go(self) -> None:
        """Let the attempt start for which all are ready, from the newest checkpoint that is good where rank 0 is.

        Rank 0 alone writes checkpoints, and reads them for all: what lies on another host is an old copy.
        """
        self._attempt = self._said[0].attempt
        self._step = self._said[0].step
        self._order, self._gathering_since, self._culprits = None, None, Culprits()
        self.version += 1

    def _judge(self, failure: Failure, now: float) -> None:
        """Decide for all nodes what follows from the failure that came first."""
        exit = self._exit_of(failure)
        ending = Ending(str(failure.report["state"]), exit)
        reason = f"{self._culprit(failure)} failed first: {exit['culprit']['exception'] or _how(exit)}"
        if self._stop is not None:
            self._end_stopped()
            return
        decision = self._budget.decide(ending, failure.report["step"], now)
        if decision.wait is None:
            reason += f"; not restarted: {decision.reason}"
        self._give_order(
            "stop" if decision.wait is None else "restart",
            reason,
            ending,
            wait=decision.wait or 0.0,
            lines=failure.report["lines"],
        )

    def _exit_of(self, failure: Failure) -> dict[str, Any]:
        """The exit with its culprit, whose message names the host: the number of a node says little to people."""
        exit = failure.report["exit"]
        culprit = exit["culprit"] or culprit_field(failure.node * self._ranks)
        message = f"on {self._names[failure.node]}: {culprit['message'] or _how(exit)}"
        return {**exit, "culprit": {**culprit, "node": failure.node, "message": message}}

    def _culprit(self, failure: Failure) -> str:
        return f"rank {self._exit_of(failure)['culprit']['rank']} on {self._names[failure.node]}"

    def _ask_stop(self, node: int, grace: float, kill: bool, now: float) -> None:
        """Take in what a user asked of one node, for all: later requests can only make earlier ones more urgent."""
        before, asked = self._stop, _Stop(self._names[node], now + grace, kill)
        if before is not None:
            # Members repeat what they were told, a little later each time.
            sooner = asked.deadline if asked.deadline < before.deadline - 1.0 else before.deadline
            asked = before._replace(deadline=sooner, kill=before.kill or kill)
        self._stop = asked
        self.version += asked != before

    def _conclude(self, state: str, now: float) -> None:
        """Rank 0 has written the final record, so its node knows how the run ended; others may still be at it."""
        if self._ended_well_at is None:
            self._ended_well_at = now
            if self._order is not None:
                # What failed elsewhere failed after the last step, and there is nothing to be done again.
                self._end_well(state)
        said = [self._said.get(node, Said(0)) for node in range(len(self._names))]
        waited = [
            node
            for node, one in enumerate(said)
            if one.ended is None and one.failure is None and self._gone(node, now) is None
        ]
        if waited and now - self._ended_well_at <= LINGER:
            return
        self._verdict = state
        self.version += 1
        if not self._final and any(one.ended is None for one in said):
            self._end_well(state)

    def _gone(self, node: int, now: float) -> tuple[int, str] | None:
        """A node that is gone before its end, and how."""
        said = self._said.get(node, Said(0))
        if said.ended is not None:
            return None
        if said.left:
            return node, "left the run"
        return (node, f"was silent for {self._silence:.0f} s") if self.silent(node, now) else None

    def _lose(self, node: int, what: str) -> None:
        """A node is gone; its own failing rank, if it told of one, is the better reason."""
        suspect = self._culprits.suspect
        if self._stop is not None:
            self._end_stopped()
        elif suspect is not None and suspect.node == node and self._order is None:
            reason = f"{self._culprit(suspect)} failed first, and the node {what}"
            self._give_order("stop", reason, Ending(suspect.report["state"], self._exit_of(suspect)))
        else:
            self._give_up("NodeLost", node, f"{self._names[node]} {what}")

    def _end_stopped(self) -> None:
        self._give_order("stop", "a user asked to stop", Ending("stopped", exit_field(kind="requested")))

    def _end_well(self, state: str) -> None:
        exit = exit_field(0, kind=None if state == "completed" else "requested")
        self._give_order("stop", "rank 0 has ended well", Ending(state, exit))

    def _give_up(self, kind: str, node: int, message: str) -> None:
        culprit = culprit_field(node * self._ranks, node=node, exception=kind, message=message)
        self._give_order("stop", message, Ending("failed", exit_field(kind=kind, culprit=culprit, retry=True)))

    def _give_order(
        self, action: str, reason: str, ending: Ending, *, wait: float = 0.0, lines: list[str] | None = None
    ) -> None:
        self._orders += 1
        self.version += 1
        told = {"number": self._orders, "action": action, "reason": reason, "wait": wait, "lines": lines or []}
        self._order = {**told, "state": ending.state, "exit": ending.exit}


def _how(exit: dict[str, Any]) -> str:
    """How a rank ended that left no exception."""
    return f"signal {exit['signal']}" if exit["signal"] is not None else f"exit {exit['code']}"
