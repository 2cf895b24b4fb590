"""A node's side of a group: a thread that keeps in touch with the lead, and what the supervisor asks of it."""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import Any

from fleet.remote.group import AskedElsewhere, Go, Order
from fleet.remote.group_status import Malformed, Said, Told, bounded
from fleet.remote.launch import Launch
from fleet.remote.lead import BEATS, READY, SILENCE, Lead
from fleet.remote.states import culprit_field, exit_field
from fleet.remote.stopping import Stop
from fleet.remote.wire import Refused, Wire, join

#: Seconds between attempts to reach the lead, and between looks at what is to be said.
_PAUSE, _LOOK = 0.2, 0.05
#: Part of the silence after which a connection is given up for another one: after a link was down, TCP waits for
#: seconds before it tries again, and a connection that is made at that moment is faster.
_STALE = 0.4
#: Seconds that the lead has to read the last word.
_GOODBYE = 1.0


class Member:
    """The membership of one node. On node 0 it also owns the lead."""

    def __init__(self, launch: Launch, *, silence: float = SILENCE, patience: float = READY) -> None:
        """Raises OSError if this is node 0 and the lead port is taken."""
        assert launch.group is not None
        self._group, self._run = launch.group, launch.run
        self._silence, self._patience = silence, patience
        self._beat = silence / BEATS
        """Seconds between heartbeats, for a connection to be made, and for its handshake."""
        self._lead = Lead(launch, silence=silence, patience=patience) if self._group.node_rank == 0 else None
        self._guard = threading.Lock()
        self._said, self._said_version = Said(0), 0
        self._told = Told(0)
        self._stop: Stop | None = None
        self._passed_on: Stop | None = None
        """What was said of stops that users asked for on other nodes."""
        self._obeyed = 0
        """Number of the newest order that was passed on."""
        self._over = False
        """Whether it is known how the run ends, so that the lead may go."""
        self._heard: float | None = None
        self._alive_at = self._ready_at = time.monotonic()
        self._last_error = "it was not reached"
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep_in_touch, name="member", daemon=True)
        self._thread.start()

    def ready(self, attempt: int, step: int | None) -> None:
        """See `Group`."""
        with self._guard:
            self._ready_at = time.monotonic()
            self._say(Said(attempt, ready=True, step=step))

    def wait_start(self) -> Go | None:
        """See `Group`."""
        with self._guard:
            return Go(self._told.step) if self._told.attempt == self._said.attempt else None

    def beat(self) -> None:
        """Called while the supervisor's loop turns: a supervisor that hangs falls silent for the others."""
        self._alive_at = time.monotonic()

    def report_failing(self, report: dict[str, Any]) -> None:
        """See `Group`."""
        with self._guard:
            if self._said.failing is None:
                self._say(self._said._replace(failing=bounded(report)))

    def report_failure(self, report: dict[str, Any]) -> None:
        """See `Group`."""
        with self._guard:
            self._say(self._said._replace(failure=bounded(report)))

    def report_end(self, state: str) -> None:
        """See `Group`."""
        with self._guard:
            self._say(self._said._replace(ended=state))

    def report_stop(self, stop: Stop) -> None:
        """See `Group`."""
        with self._guard:
            if stop != self._stop:
                self._stop = stop
                self._said_version += 1

    def verdict(self) -> str | None:
        """See `Group`."""
        with self._guard:
            verdict = self._told.verdict if self._said.ended is not None else None
            self._over = self._over or verdict is not None
            return verdict

    def halted(self) -> str | None:
        """See `Group`."""
        with self._guard:
            return self._told.halt if self._told.attempt == self._said.attempt else None

    def asked_elsewhere(self) -> AskedElsewhere | None:
        """See `Group`."""
        with self._guard:
            asked = self._told.stop
            if asked is None:
                return None
            stop = Stop(asked["by"], 0, time.monotonic() + asked["grace"], asked["kill"])
            before = self._passed_on
            if before is not None and stop.kill == before.kill and stop.deadline > before.deadline - 1.0:
                return None
            self._passed_on = stop
            return AskedElsewhere(asked["by"], asked["grace"], asked["kill"])

    def orders(self) -> Order | None:
        """See `Group`."""
        with self._guard:
            order = self._told.order
            if order is not None and order["number"] > self._obeyed:
                self._obeyed = order["number"]
                self._over = order["action"] == "stop"
                told = {name: order[name] for name in ("action", "reason", "wait", "state", "exit")}
                return Order(**told, lines=tuple(order["lines"]))
            lost = self._lost(time.monotonic())
            if lost is None:
                return None
            self._over = True
            kind, reason = lost
            culprit = culprit_field(0, exception=kind, message=reason)
            return Order("stop", reason, 0.0, "failed", exit_field(kind=kind, culprit=culprit, retry=True))

    def close(self) -> None:
        """Leave the group."""
        with self._guard:
            self._over = True
            self._say(self._said._replace(left=True))
        self._closed.set()
        self._thread.join(_GOODBYE + 2 * self._beat)
        if self._lead is not None:
            self._lead.close()

    def _say(self, said: Said) -> None:
        """Change this node's status; the thread sends it."""
        self._said = said
        self._said_version += 1

    def _lost(self, now: float) -> tuple[str, str] | None:
        """Kind and reason, if the lead is gone before the end of the run is known."""
        lead = f"the lead on {self._group.nodes[0].name}"
        if self._over:
            return None
        if self._told.closing:
            return "LeadLost", f"{lead} has ended"
        if self._heard is None and self._said.ready and now - self._ready_at > self._patience:
            return "NotReady", f"{lead} did not answer within {self._patience:.0f} s: {self._last_error}"
        if self._heard is not None and now - self._heard > self._silence:
            return "LeadLost", f"{lead} was silent for {self._silence:.0f} s: {self._last_error}"
        return None

    def _keep_in_touch(self) -> None:
        while not self._closed.is_set():
            wire = self._connected()
            if wire is None:
                self._closed.wait(_PAUSE)
                continue
            try:
                self._talk(wire)
            except (OSError, Refused, Malformed) as error:
                self._last_error = str(error) or type(error).__name__
            finally:
                wire.close()

    def _connected(self) -> Wire | None:
        address = (self._group.nodes[0].address, self._group.lead_port)
        source = (self._group.nodes[self._group.node_rank].address, 0)
        try:
            connection = socket.create_connection(address, timeout=self._beat, source_address=source)
        except OSError as error:
            self._last_error = f"{address[0]} port {address[1]}: {error.strerror or error}"
            return None
        try:
            return join(connection, self._group.token, self._run, self._group.node_rank, self._beat)
        except (OSError, Refused) as error:
            self._last_error = str(error)
            connection.close()
            return None

    def _talk(self, wire: Wire) -> None:
        """Exchange statuses until the connection ends or the group is left. Raises OSError, Refused, Malformed."""
        said, beat_at, heard = -1, 0.0, time.monotonic()
        # Something may have come right behind the handshake.
        self._take(wire)
        while not self._closed.is_set():
            now = time.monotonic()
            # No heartbeat for a supervisor whose loop stands still.
            beats = now >= beat_at and now - self._alive_at < self._silence
            if beats or self._said_version != said:
                said, beat_at = self._said_version, now + self._beat
                wire.send(self._status(now))
            wire.flush()
            if select.select([wire.connection], [], [], _LOOK)[0]:
                self._take(wire)
                heard = now
            elif now - heard > _STALE * self._silence:
                raise OSError("nothing came from it")
        self._say_goodbye(wire)

    def _say_goodbye(self, wire: Wire) -> None:
        """Send the last status, and wait until the lead has read it."""
        wire.send(self._status(time.monotonic()))
        wire.finish()
        until = time.monotonic() + _GOODBYE
        while time.monotonic() < until:
            if select.select([wire.connection], [], [], _LOOK)[0] and wire.receive() is None:
                return

    def _take(self, wire: Wire) -> None:
        messages = wire.receive()
        if messages is None:
            raise OSError("it closed the connection")
        for message in messages:
            told = Told.of(message)
            with self._guard:
                self._told, self._heard = told, time.monotonic()

    def _status(self, now: float) -> dict[str, Any]:
        with self._guard:
            stop = self._stop
            asked = None if stop is None else {"grace": max(0.0, stop.deadline - now), "kill": stop.kill}
            return self._said._replace(stop=asked).message()
