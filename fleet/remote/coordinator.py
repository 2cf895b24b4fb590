"""What the lead of a run on several hosts decides: when all start, who failed first, what follows, how the run ended.

Decisions alone: no sockets, no clock of its own. Order of arrival names the culprit, because clocks differ between
hosts and a first failure makes all other ranks fail. A restart has one owner, and this is it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from fleet.remote.budget import Budget
from fleet.remote.checkpoints import BUDGET
from fleet.remote.classify import Ending
from fleet.remote.group_status import Said, Told
from fleet.remote.states import culprit_field, exit_field

#: Seconds that a failure which only tells of a lost peer waits for the peer's own.
CONSEQUENCE = 1.0
#: Seconds that a node has to report what became of its failing rank.
REPORT = 20.0
#: Seconds that nodes have to end after rank 0 has ended well.
LINGER = 30.0
#: Seconds that a node which is there may take to get ready, beyond the patience: it reads its checkpoints.
PREPARE = BUDGET + 60.0
#: What the trainer, and torch where the trainer does not catch it, call the loss of a peer.
_CONSEQUENCES = frozenset(
    {"PeerLost", "DistError", "DistBackendError", "DistNetworkError", "DistStoreError"}
    | {"RendezvousConnectionError", "RendezvousClosedError", "RendezvousTimeoutError"}
)


class _Failure(NamedTuple):
    """A failure that waits to be judged."""

    node: int
    until: float
    """Monotonic time after which it is judged as it is."""
    report: dict[str, Any]


class _Stop(NamedTuple):
    """What users asked for, all of it together."""

    by: str
    deadline: float
    kill: bool


class Coordinator:
    """The state of the group, from what its members say. Times are those of one monotonic clock, in seconds."""

    def __init__(self, names: Sequence[str], budget: Budget, *, silence: float, patience: float) -> None:
        """`names` of the nodes in the order of their ranks; after `silence` a node counts as gone, after `patience` one
        that never came as absent."""
        self._names, self._budget = tuple(names), budget
        self._silence, self._patience = silence, patience
        self._heard: dict[int, float] = {}
        self._said: dict[int, Said] = {}
        self._ready_since: float | None = None
        self._attempt, self._step = 0, None  # type: int, int | None
        self._suspect: _Failure | None = None
        self._held: _Failure | None = None
        self._order: dict[str, Any] | None = None
        self._orders = 0
        self._restarting = False
        self._stop: _Stop | None = None
        self._ended_at: float | None = None
        self._verdict: str | None = None
        self.version = 0
        """Grows with everything that the members should know at once."""

    def hear(self, node: int, now: float) -> None:
        """A sign of life of a node."""
        self._heard[node] = now

    def take(self, node: int, said: Said, now: float) -> None:
        """The newest status of a node."""
        self.hear(node, now)
        if self._said.get(node, Said(0))[:3] != said[:3]:
            self.version += 1
        self._said[node] = said
        if said.stop is not None:
            self._ask_stop(node, float(said.stop["grace"]), bool(said.stop["kill"]), now)
        if said.attempt == self._attempt and not self._decided:
            self._hear_failure(node, said, now)
        self.look(now)

    def look(self, now: float) -> None:
        """Decide what follows from what is known, and from how long it has been so."""
        self._conclude(now)
        if self._restarting or self._attempt == 0:
            self._gather(now)
        if self._decided:
            return
        for waiting in (self._suspect, self._held if self._suspect is None else None):
            if waiting is not None and now >= waiting.until:
                self._judge(waiting.node, waiting.report, now)
                return

    def told(self, node: int, now: float, *, closing: bool = False) -> Told:
        """What a node should know."""
        stop = self._stop
        suspect = self._suspect
        return Told(
            attempt=self._attempt,
            step=self._step,
            missing=tuple(self._missing()),
            # The node of the first failure ends by itself, and must be able to tell how.
            halt=None if suspect is None or suspect.node == node or self._decided else self._reason(suspect),
            order=self._order,
            stop=None
            if stop is None
            else {"by": stop.by, "grace": max(0.0, stop.deadline - now), "kill": stop.kill},
            verdict=self._verdict,
            closing=closing,
        )

    @property
    def _decided(self) -> bool:
        """Whether what follows the present attempt is known."""
        return self._order is not None

    def _missing(self) -> list[str]:
        newest = max((said.attempt for said in self._said.values()), default=0)
        ready = {node for node, said in self._said.items() if said.ready and said.attempt == newest}
        return [name for node, name in enumerate(self._names) if node not in ready]

    def _gather(self, now: float) -> None:
        """Start all when the last one is ready, and none if one does not come."""
        if self._stop is not None or (self._decided and not self._restarting):
            return
        attempts = {said.attempt for said in self._said.values() if said.ready}
        if self._ready_since is None and max(attempts, default=0) > self._attempt:
            self._ready_since = now
        if self._ready_since is None:
            return
        missing = self._missing()
        if not missing:
            self._go(now)
            return
        absent = [name for node, name in enumerate(self._names) if node not in self._heard]
        limit = self._patience if absent else self._patience + PREPARE
        if now - self._ready_since > limit:
            names = ", ".join(absent or missing)
            message = f"not every node got ready within {limit:.0f} s; missing: {names}"
            node = self._names.index((absent or missing)[0])
            self._give_up("NotReady", node, message, retry=False)

    def _go(self, now: float) -> None:
        attempt = self._said[0].attempt
        # A node without checkpoints holds no part of them: with replicated weights rank 0 alone writes.
        steps = [said.step for said in self._said.values() if said.step is not None]
        self._attempt = attempt
        self._step = min(steps) if steps and self._said[0].step is not None else None
        self._order, self._restarting, self._ready_since = None, False, None
        self._suspect = self._held = None
        self.version += 1

    def _hear_failure(self, node: int, said: Said, now: float) -> None:
        """The first failure of an attempt is its cause, unless it only says that a peer was lost.

        A rank that waits for a peer often ends before the peer's own node has told of it, so such a failure waits for a
        better one for a moment. A node that tells of a failing rank is given the time to tell how it ended.
        """
        if self._suspect is None and said.failing is not None and not _is_consequence(said.failing):
            self._suspect = _Failure(node, now + REPORT, said.failing)
            self.version += 1
        if said.failure is None or self._attempt == 0:
            return
        if self._suspect is not None:
            if self._suspect.node == node:
                self._judge(node, said.failure, now)
        elif not _is_consequence(said.failure):
            self._judge(node, said.failure, now)
        elif self._held is None:
            self._held = _Failure(node, now + CONSEQUENCE, said.failure)

    def _judge(self, node: int, report: dict[str, Any], now: float) -> None:
        """Decide for all nodes what follows from a failure."""
        exit = self._with_host(node, report["exit"])
        culprit = exit["culprit"]
        if self._stop is not None:
            self._end_stopped()
            return
        ending = Ending(str(report["state"]), exit)
        decision = self._budget.decide(ending, report.get("step"), now)
        reason = f"rank {culprit['rank']} on {self._names[node]} failed first: {culprit['exception'] or _signal(exit)}"
        if decision.wait is None:
            reason += f"; not restarted: {decision.reason}"
        self._restarting = decision.wait is not None
        action = "restart" if self._restarting else "stop"
        self._give_order(
            action, reason, decision.wait or 0.0, ending.state, exit, lines=tuple(report.get("lines") or ())
        )

    def _with_host(self, node: int, exit: dict[str, Any]) -> dict[str, Any]:
        """The exit with its culprit, whose message names the host: a number of a node says little to people."""
        culprit = dict(exit.get("culprit") or culprit_field(0, node=node))
        what = culprit["message"] or _signal(exit)
        return {**exit, "culprit": {**culprit, "node": node, "message": f"on {self._names[node]}: {what}"}}

    def _reason(self, suspect: _Failure) -> str:
        exit = self._with_host(suspect.node, suspect.report["exit"])
        rank = exit["culprit"]["rank"]
        return f"rank {rank} on {self._names[suspect.node]} failed"

    def _ask_stop(self, node: int, grace: float, kill: bool, now: float) -> None:
        deadline = now + grace
        if self._stop is None:
            self._stop = _Stop(self._names[node], deadline, kill)
            self.version += 1
        elif (kill and not self._stop.kill) or deadline < self._stop.deadline - 1.0:
            self._stop = self._stop._replace(
                deadline=min(deadline, self._stop.deadline), kill=kill or self._stop.kill
            )
            self.version += 1

    def _conclude(self, now: float) -> None:
        """What follows when nodes have ended, left, or fallen silent."""
        zero = self._said.get(0)
        if zero is not None and zero.ended is not None and self._verdict is None:
            self._conclude_well(zero.ended, now)
        if self._decided and not self._restarting:
            return
        for node, heard in self._heard.items():
            said = self._said.get(node)
            if said is not None and said.ended is not None:
                continue
            if said is not None and said.left:
                self._lost(node, "left the run")
            elif now - heard > self._silence:
                self._lost(node, f"was silent for {self._silence:.0f} s")
            else:
                continue
            return

    def _conclude_well(self, state: str, now: float) -> None:
        """Rank 0 has written the final record, so its node knows how the run ended; the others may still be at it."""
        if self._ended_at is None:
            self._ended_at = now
            if self._decided:
                # What failed elsewhere, failed after the last step: nothing is to be done again.
                self._restarting = False
                self._give_order("stop", "rank 0 has ended well", 0.0, state, _well(state))
        over = all(
            said is not None and (said.ended is not None or said.left or said.failure is not None)
            for said in (self._said.get(node) for node in range(len(self._names)))
        )
        if over or now - self._ended_at > LINGER:
            self._verdict = state
            self.version += 1
            if not self._decided:
                self._give_order("stop", "rank 0 has ended well", 0.0, state, _well(state))

    def _lost(self, node: int, what: str) -> None:
        """A node is gone before its end."""
        if self._stop is not None:
            self._end_stopped()
            return
        if self._suspect is not None and self._suspect.node == node:
            exit = self._with_host(node, self._suspect.report["exit"])
            self._restarting = False
            reason = f"{self._reason(self._suspect)}, and the node {what}"
            self._give_order("stop", reason, 0.0, self._suspect.report["state"], exit)
            return
        self._give_up("NodeLost", node, f"{self._names[node]} {what}", retry=True)

    def _end_stopped(self) -> None:
        self._restarting = False
        self._give_order("stop", "a user asked to stop", 0.0, "stopped", exit_field(kind="requested"))

    def _give_up(self, kind: str, node: int, message: str, *, retry: bool) -> None:
        culprit = culprit_field(0, node=node, exception=kind, message=message)
        self._restarting = False
        self._give_order("stop", message, 0.0, "failed", exit_field(kind=kind, culprit=culprit, retry=retry))

    def _give_order(
        self, action: str, reason: str, wait: float, state: str, exit: dict[str, Any], lines: Sequence[str] = ()
    ) -> None:
        self._orders += 1
        self.version += 1
        self._suspect = self._held = None
        self._order = {
            "number": self._orders,
            "action": action,
            "reason": reason,
            "wait": wait,
            "state": state,
            "exit": exit,
            "lines": list(lines),
        }


def _is_consequence(report: dict[str, Any]) -> bool:
    """Whether a failure is what ranks say whose peer failed first."""
    culprit = report["exit"].get("culprit") or {}
    return culprit.get("exception") in _CONSEQUENCES


def _well(state: str) -> dict[str, Any]:
    return exit_field(0, kind=None if state == "completed" else "requested")


def _signal(exit: dict[str, Any]) -> str:
    return f"signal {exit['signal']}" if exit.get("signal") is not None else f"exit {exit.get('code')}"
