"""The lead of a run on several hosts: a thread in the supervisor of rank 0 that every node's supervisor talks to.

It lets all nodes start together, names the culprit of a failure by order of arrival (clocks differ between hosts, and a
first failure makes all other ranks fail), and decides once for all whether the run starts again.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import Any

from fleet.remote.budget import Budget
from fleet.remote.classify import Ending
from fleet.remote.launch import Launch
from fleet.remote.states import culprit_field, exit_field
from fleet.remote.wire import Refused, Wire, welcome

#: Seconds without a word after which a node counts as gone.
SILENCE = 5.0
#: Heartbeats in the time after which a node counts as gone.
BEATS = 5
#: Seconds that a failure which only tells of a lost peer waits for the peer's own.
CONSEQUENCE = 1.0
#: Seconds that all nodes together have to get ready.
READY = 60.0
#: What the trainer, and torch where the trainer does not catch it, call the loss of a peer.
_CONSEQUENCES = frozenset({"PeerLost", "DistBackendError", "DistNetworkError"})


class Lead:
    """Listens on the lead port until it is closed. It is a thread and holds no lock for longer than a message takes."""

    def __init__(self, launch: Launch, *, silence: float = SILENCE) -> None:
        """`silence` in seconds, after which a node counts as gone. Raises OSError if the port is taken."""
        assert launch.group is not None
        self._silence = silence
        self._group, self._run = launch.group, launch.run
        self._budget = Budget(launch.max_restarts, launch.waits)
        self._listener = socket.create_server(
            (self._group.nodes[0].address, self._group.lead_port), reuse_port=False, backlog=64
        )
        self._wires: dict[int, Wire] = {}
        self._heard: dict[int, float] = {}
        self._ready: dict[int, tuple[int, int | None]] = {}
        self._left: set[int] = set()
        self._started = -1
        self._go: dict[str, Any] = {}
        self._order: dict[str, Any] | None = None
        """What was ordered for the attempt that runs; whoever connects again hears it again."""
        self._held: tuple[float, int, dict[str, Any]] | None = None
        """A failure that may be the consequence of another: until when it waits, its node, and itself."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="lead", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say goodbye to all and end."""
        self._closed.set()
        self._thread.join(2.0)

    def _serve(self) -> None:
        beat_at = 0.0
        while not self._closed.is_set():
            by_socket = {wire.connection: wire for wire in self._wires.values()}
            readable, _, _ = select.select([self._listener, *by_socket], [], [], 0.1)
            for ready in readable:
                if ready is self._listener:
                    self._accept()
                else:
                    self._hear(by_socket[ready])
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + self._silence / BEATS
                self._tell_all({"kind": "beat", "missing": self._missing()})
            self._judge_held(now)
            self._look_for_silence(now)
        self._tell_all({"kind": "bye"})
        for wire in list(self._wires.values()):
            wire.close()
        self._listener.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        try:
            wire = welcome(connection, self._group.token, self._run, len(self._group.nodes))
        except (Refused, OSError):
            # Not one of ours, or it went away: the port is open to everybody who can reach it.
            connection.close()
            return
        old = self._wires.pop(wire.node, None)
        if old is not None:
            old.close()
        self._wires[wire.node], self._heard[wire.node] = wire, time.monotonic()
        self._left.discard(wire.node)
        if self._order is not None:
            self._tell(wire.node, self._order)

    def _hear(self, wire: Wire) -> None:
        try:
            messages = wire.receive()
        except (OSError, Refused):
            messages = None
        if messages is None:
            wire.close()
            # Silence begins here: the node may connect again before it counts as gone.
            if self._wires.get(wire.node) is wire:
                del self._wires[wire.node]
            return
        self._heard[wire.node] = time.monotonic()
        for message in messages:
            self._take(wire.node, message)

    def _take(self, node: int, message: dict[str, Any]) -> None:
        kind = message.get("kind")
        if kind == "ready":
            self._take_ready(node, int(message["attempt"]), message.get("step"))
        elif kind == "failed" and message["attempt"] == self._started:
            self._hear_failure(node, message["failure"])
        elif kind == "ended":
            self._left.add(node)
            if node == 0:
                # Rank 0 writes the final record, so its node alone knows whether the run completed or was stopped.
                self._tell_all({"kind": "verdict", "attempt": message["attempt"], "state": message["state"]})
        elif kind == "bye":
            self._left.add(node)

    def _missing(self) -> list[str]:
        """Names of the nodes that are not ready for the attempt that the others are ready for."""
        newest = max((attempt for attempt, _ in self._ready.values()), default=-1)
        ready = {node for node, (attempt, _) in self._ready.items() if attempt == newest}
        return [node.name for number, node in enumerate(self._group.nodes) if number not in ready]

    def _take_ready(self, node: int, attempt: int, step: int | None) -> None:
        """Start all when the last one is ready. A node that says it again lost the answer with its connection."""
        self._ready[node] = (attempt, step)
        if attempt == self._started:
            self._tell(node, self._go)
            return
        if self._missing():
            return
        self._started, self._order = attempt, None
        self._left.clear()
        self._held = None
        # A node without checkpoints holds no part of them: with replicated weights rank 0 alone writes.
        steps = [step for _, step in self._ready.values() if step is not None]
        whole = self._ready[0][1] is not None
        self._go = {"kind": "go", "attempt": attempt, "step": min(steps) if steps and whole else None}
        self._tell_all(self._go)

    def _hear_failure(self, node: int, failure: dict[str, Any]) -> None:
        """The first failure of an attempt is its cause, unless it only says that a peer was lost.

        A rank that waits for a peer often ends before the peer's own node has collected it, so such a failure waits for
        a better one for a moment.
        """
        if self._order is not None or (self._held is not None and _is_consequence(failure)):
            return
        if _is_consequence(failure):
            self._held = (time.monotonic() + CONSEQUENCE, node, failure)
        else:
            self._judge(node, failure)

    def _judge_held(self, now: float) -> None:
        """Nobody had a better reason in time."""
        if self._held is not None and self._order is None and now >= self._held[0]:
            self._judge(self._held[1], self._held[2])

    def _judge(self, node: int, failure: dict[str, Any]) -> None:
        """Decide for all nodes what follows from a failure."""
        self._held = None
        exit = dict(failure["exit"])
        culprit = dict(exit.get("culprit") or culprit_field(node, node=node))
        exit["culprit"] = culprit
        ending = Ending(str(failure["state"]), exit)
        decision = self._budget.decide(ending, failure.get("step"), time.monotonic())
        name = self._group.nodes[node].name
        what = culprit.get("exception") or _ended(exit)
        reason = f"rank {culprit.get('rank')} on {name} failed first: {what}"
        if decision.wait is None:
            reason += f"; not restarted: {decision.reason}"
        action = "stop" if decision.wait is None else "restart"
        self._give_order(action, reason, decision.wait or 0.0, ending.state, exit)

    def _look_for_silence(self, now: float) -> None:
        for node, heard in list(self._heard.items()):
            if now - heard <= self._silence or node in self._left or self._order is not None or self._started < 0:
                continue
            name = self._group.nodes[node].name
            culprit = culprit_field(
                node, node=node, exception="NodeLost", message=f"{name} was silent for {self._silence:.0f} s"
            )
            exit = exit_field(kind="NodeLost", culprit=culprit, retry=True)
            reason = f"{name} (node {node}) was silent for {self._silence:.0f} s"
            self._give_order("stop", reason, 0.0, "failed", exit)

    def _give_order(self, action: str, reason: str, wait: float, state: str, exit: dict[str, Any]) -> None:
        order = {"kind": "order", "attempt": self._started, "action": action, "reason": reason}
        self._order = {**order, "wait": wait, "state": state, "exit": exit}
        self._tell_all(self._order)

    def _tell_all(self, message: dict[str, Any]) -> None:
        for node in list(self._wires):
            self._tell(node, message)

    def _tell(self, node: int, message: dict[str, Any]) -> None:
        wire = self._wires.get(node)
        if wire is None:
            return
        try:
            wire.send(message)
        except OSError:
            wire.close()
            del self._wires[node]


def _is_consequence(failure: dict[str, Any]) -> bool:
    """Whether a failure is what ranks say whose peer failed first."""
    culprit = failure["exit"].get("culprit") or {}
    return culprit.get("exception") in _CONSEQUENCES


def _ended(exit: dict[str, Any]) -> str:
    if exit.get("signal") is not None:
        return f"signal {exit['signal']}"
    return f"exit {exit.get('code')}"
