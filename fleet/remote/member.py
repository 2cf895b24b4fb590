"""A node's side of a group: a thread that keeps in touch with the lead, and what the supervisor asks of it."""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import Any

from fleet.remote.group import Go, NotReady, Order
from fleet.remote.launch import Launch
from fleet.remote.lead import BEATS, READY, SILENCE, Lead
from fleet.remote.states import exit_field
from fleet.remote.wire import Refused, Wire, join

#: Seconds between attempts to reach the lead.
_PAUSE = 0.2


class Member:
    """The membership of one node. On node 0 it also owns the lead."""

    def __init__(self, launch: Launch, *, silence: float = SILENCE, patience: float = READY) -> None:
        """Raises OSError if this is node 0 and the lead port is taken."""
        assert launch.group is not None
        self._group, self._run = launch.group, launch.run
        self._silence, self._patience = silence, patience
        self._lead = Lead(launch, silence=silence) if self._group.node_rank == 0 else None
        self._guard = threading.Lock()
        self._outbox: list[dict[str, Any]] = []
        self._attempt = -1
        self._wanted_since = 0.0
        self._go: Go | None = None
        self._order: Order | None = None
        self._verdict: str | None = None
        self._heard: float | None = None
        self._released = False
        """Whether the lead said goodbye: its run ended well, and this node ends by itself."""
        self._alive_at = time.monotonic()
        self._missing: list[str] = []
        self._last_error = "it was not reached"
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep_in_touch, name="member", daemon=True)
        self._thread.start()

    def ready(self, attempt: int, step: int | None) -> None:
        """Tell the lead that this node could start an attempt, and its newest verified checkpoint."""
        with self._guard:
            self._attempt, self._go, self._order, self._verdict = attempt, None, None, None
            self._wanted_since = time.monotonic()
            self._outbox.append({"kind": "ready", "attempt": attempt, "step": step})
            self._missing = []

    def wait_start(self) -> Go | None:
        """Whether every node is ready; None while some are not. Raises NotReady when time is over."""
        with self._guard:
            if self._go is None and time.monotonic() - self._wanted_since > self._patience:
                lead = f"the lead on {self._group.nodes[0].name} did not answer: {self._last_error}"
                missing = f"missing: {', '.join(self._missing)}" if self._missing else lead
                raise NotReady(f"not every node got ready within {self._patience:.0f} s; {missing}")
            return self._go

    def beat(self) -> None:
        """Called while the supervisor's loop turns: a supervisor that hangs falls silent for the others."""
        self._alive_at = time.monotonic()

    def report_failure(self, culprit: dict[str, Any]) -> None:
        """Tell the lead that the attempt ended here by itself."""
        with self._guard:
            self._outbox.append({"kind": "failed", "attempt": self._attempt, "failure": culprit})

    def report_end(self, state: str) -> None:
        """Tell the lead that the attempt ended here without a failure."""
        with self._guard:
            self._outbox.append({"kind": "ended", "attempt": self._attempt, "state": state})

    def verdict(self) -> str | None:
        """How the run ended well, as rank 0's node knows it; None while it was not told."""
        with self._guard:
            return self._verdict

    def orders(self) -> Order | None:
        """What the lead ordered, once. A lead that is silent for too long is an order to stop."""
        with self._guard:
            order, self._order = self._order, None
            if order is None and self._go is not None and self._lost():
                self._released = True
                name = self._group.nodes[0].name
                reason = f"the lead on {name} was silent for {self._silence:.0f} s: {self._last_error}"
                order = Order("stop", reason, 0.0, "failed", exit_field(kind="LeadLost", retry=True))
            return order

    def close(self) -> None:
        """Leave the group."""
        self._closed.set()
        self._thread.join(2.0)
        if self._lead is not None:
            self._lead.close()

    def _lost(self) -> bool:
        return not self._released and self._heard is not None and time.monotonic() - self._heard > self._silence

    def _keep_in_touch(self) -> None:
        while not self._closed.is_set():
            wire = self._connected()
            if wire is None:
                self._closed.wait(_PAUSE)
                continue
            try:
                self._talk(wire)
            except (OSError, Refused) as error:
                self._last_error = str(error) or type(error).__name__
            finally:
                wire.close()

    def _connected(self) -> Wire | None:
        address = (self._group.nodes[0].address, self._group.lead_port)
        source = (self._group.nodes[self._group.node_rank].address, 0)
        try:
            connection = socket.create_connection(address, timeout=2.0, source_address=source)
        except OSError as error:
            self._last_error = f"{address[0]} port {address[1]}: {error.strerror or error}"
            return None
        try:
            return join(connection, self._group.token, self._run, self._group.node_rank)
        except (OSError, Refused) as error:
            self._last_error = str(error)
            connection.close()
            return None

    def _talk(self, wire: Wire) -> None:
        """Exchange messages until the connection ends. Raises OSError, Refused."""
        sent, beat_at = 0, 0.0
        while True:
            with self._guard:
                # On a new connection all of it is said again, because the old one may have swallowed it.
                said = list(self._outbox)
            while sent < len(said):
                wire.send(said[sent])
                sent += 1
            if self._closed.is_set():
                wire.send({"kind": "bye"})
                return
            now = time.monotonic()
            # No heartbeat for a supervisor whose loop stands still.
            if now >= beat_at and now - self._alive_at < self._silence:
                beat_at = now + self._silence / BEATS
                wire.send({"kind": "beat"})
            if select.select([wire.connection], [], [], 0.1)[0]:
                messages = wire.receive()
                if messages is None:
                    raise OSError("the lead closed the connection")
                self._take(messages)

    def _take(self, messages: list[dict[str, Any]]) -> None:
        with self._guard:
            self._heard = time.monotonic()
            for message in messages:
                kind = message.get("kind")
                if kind == "beat":
                    self._missing = message["missing"]
                elif kind == "go" and message["attempt"] == self._attempt:
                    self._go = Go(message["step"])
                elif kind == "order" and message["attempt"] == self._attempt:
                    self._order = Order(
                        message["action"], message["reason"], message["wait"], message["state"], message["exit"]
                    )
                elif kind == "verdict" and message["attempt"] == self._attempt:
                    self._verdict = message["state"]
                elif kind == "bye":
                    self._released = True
