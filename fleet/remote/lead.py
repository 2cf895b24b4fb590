"""The lead of a run on several hosts: a thread in the supervisor of rank 0 that every node's supervisor talks to.

It carries messages between the members and the coordinator, which decides. The port is open to everybody who can reach
it, so newcomers have a few seconds to prove the run's token, are kept apart until then, and are few.
"""

from __future__ import annotations

import contextlib
import functools
import selectors
import socket
import threading
import time
from typing import Iterator

from fleet.remote.coordinator import Coordinator
from fleet.remote.group_status import Malformed, Said
from fleet.remote.launch import Launch
from fleet.remote.wire import Guest, Refused, Wire

#: Seconds without a word after which a node counts as gone.
SILENCE = 5.0
#: Heartbeats in the time after which a node counts as gone.
BEATS = 5
#: Seconds within which a node must come to the group.
READY = 60.0
#: Seconds that a newcomer has to prove the token, and how many may be at it.
_HANDSHAKE, _GUESTS = 5.0, 64
#: Seconds between looks at what only time tells.
_TICK = 0.1
#: Seconds that members have to take the last word.
_GOODBYE = 2.0


class Lead:
    """Listens on the lead port until it is closed. Its thread never waits for a single peer."""

    def __init__(self, launch: Launch, *, silence: float = SILENCE, patience: float = READY) -> None:
        """`silence` and `patience` in seconds, as of the coordinator. Raises OSError if the port is taken."""
        assert launch.group is not None
        self._group, self._run = launch.group, launch.run
        self._beat = silence / BEATS
        self._listener = socket.create_server((self._group.nodes[0].address, self._group.lead_port), backlog=128)
        # A connection that is gone again before it is accepted must not hold the thread.
        self._listener.setblocking(False)
        self._coordinator = Coordinator(launch, silence=silence, patience=patience)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._guests: list[Guest] = []
        self._wires: dict[int, Wire] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="lead", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say goodbye to all and end."""
        self._closed.set()
        self._thread.join(_GOODBYE + 1.0)

    def _serve(self) -> None:
        said, beat_at = -1, 0.0
        while not self._closed.is_set():
            self._turn(_TICK)
            now = time.monotonic()
            self._coordinator.look(now)
            if self._coordinator.version != said or now >= beat_at:
                said, beat_at = self._coordinator.version, now + self._beat
                self._tell_all()
            for wire in list(self._wires.values()):
                with self._closing(wire):
                    wire.flush()
            for guest in [guest for guest in self._guests if now > guest.until]:
                self._dismiss(guest)
        self._say_goodbye()

    def _turn(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            key.data()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            # It is gone again, or this process has no descriptor left; whoever is serious comes back.
            return
        if len(self._guests) == _GUESTS:
            # Room for the newest: members answer at once, so the oldest is none.
            self._dismiss(self._guests[0])
        try:
            guest = Guest(
                connection, self._group.token, self._run, len(self._group.nodes), time.monotonic() + _HANDSHAKE
            )
        except OSError:
            connection.close()
            return
        self._guests.append(guest)
        self._selector.register(connection, selectors.EVENT_READ, functools.partial(self._admit, guest))

    def _admit(self, guest: Guest) -> None:
        """Take what a newcomer says; once it has proved itself, it replaces an older connection of its node."""
        if guest not in self._guests:
            # It had to make room a moment ago.
            return
        try:
            wire = guest.answer()
        except (Refused, OSError):
            self._dismiss(guest)
            return
        if wire is None:
            return
        self._guests.remove(guest)
        if wire.node in self._wires:
            self._drop(self._wires[wire.node])
        self._wires[wire.node] = wire
        self._selector.modify(wire.connection, selectors.EVENT_READ, functools.partial(self._hear, wire))
        self._coordinator.hear(wire.node, time.monotonic())
        self._tell(wire)

    def _dismiss(self, guest: Guest) -> None:
        self._guests.remove(guest)
        self._selector.unregister(guest.connection)
        guest.close()

    def _hear(self, wire: Wire) -> None:
        with self._closing(wire):
            messages = wire.receive()
            if messages is None:
                raise ConnectionResetError("the member has closed the connection")
            for message in messages:
                self._coordinator.take(wire.node, Said.of(message), time.monotonic())

    def _tell_all(self, *, closing: bool = False) -> None:
        for wire in list(self._wires.values()):
            self._tell(wire, closing=closing)

    def _tell(self, wire: Wire, *, closing: bool = False) -> None:
        with self._closing(wire):
            wire.send(self._coordinator.told(wire.node, time.monotonic(), closing=closing).message())

    @contextlib.contextmanager
    def _closing(self, wire: Wire) -> Iterator[None]:
        """Close a connection that breaks. Silence begins there: the node may connect again before it counts as gone."""
        try:
            yield
        except (OSError, Refused, Malformed):
            self._drop(wire)

    def _drop(self, wire: Wire) -> None:
        if self._wires.get(wire.node) is wire:
            del self._wires[wire.node]
            self._selector.unregister(wire.connection)
            wire.close()

    def _say_goodbye(self) -> None:
        """Tell all that this is the end, and let them read it: a connection that is closed too early takes back what
        was sent."""
        self._selector.unregister(self._listener)
        self._listener.close()
        for guest in list(self._guests):
            self._dismiss(guest)
        self._tell_all(closing=True)
        for wire in list(self._wires.values()):
            if self._coordinator.silent(wire.node, time.monotonic()):
                # Nobody is there to read it.
                self._drop(wire)
                continue
            with self._closing(wire):
                wire.finish()
        until = time.monotonic() + _GOODBYE
        while self._wires and time.monotonic() < until:
            self._turn(_TICK)
        for wire in list(self._wires.values()):
            self._drop(wire)
        self._selector.close()
