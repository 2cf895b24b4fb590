"""A rehearsal of the meeting of a group's hosts: the master listens on its ports, the others come and say who they are.

Guests show a token and get it back, so that neither a stranger nor something else that listens there counts. A guest
without a name ends the meeting, so that nothing keeps the ports when it has failed.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

#: Seconds for one connection, between attempts, and for which a host may seem unreachable after its link came back.
_CONNECT, _PAUSE, _RECOVERY = 3.0, 0.1, 3.0
_LONGEST = 256


class Meeting(NamedTuple):
    """Where and for how long."""

    address: str
    ports: tuple[int, ...]
    token: str
    seconds: float

    def listen(self, guests: set[str]) -> dict[str, Any]:
        """Take connections until every guest has come to every port, or time is over.

        Returns `{"refused": {port: why it could not be taken}, "absent": {port: guests that did not come}}`.
        """
        refused: dict[str, str] = {}
        absent = {port: set(guests) for port in self.ports}
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            for port in self.ports:
                try:
                    listener = stack.enter_context(socket.create_server((self.address, port), backlog=128))
                except OSError as error:
                    refused[str(port)] = error.strerror or str(error)
                    continue
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ, (port, None))
            until = time.monotonic() + self.seconds
            dismissed = False
            while not refused and not dismissed and any(absent.values()) and time.monotonic() < until:
                for key, _ in selector.select(_PAUSE):
                    port, visitor = key.data
                    if visitor is None:
                        self._admit(selector, key.fileobj, port)
                    else:
                        name = self._greeted(selector, visitor)
                        dismissed = dismissed or name == ""
                        absent[port].discard(str(name))
        return {"refused": refused, "absent": {str(port): sorted(names) for port, names in absent.items() if names}}

    def reach(self, name: str) -> dict[str, Any]:
        """Go to every port at once, again until it succeeds or time is over. Without a name: end the meeting.

        Returns `{"ports": {port: {"ms": milliseconds of a connection} or {"reason"}}}`.
        """
        with ThreadPoolExecutor(len(self.ports)) as threads:
            found = threads.map(lambda port: self._visit(port, name), self.ports)
            return {"ports": {str(port): outcome for port, outcome in zip(self.ports, found)}}

    def _admit(self, selector: selectors.BaseSelector, listener: Any, port: int) -> None:
        with contextlib.suppress(OSError):  # it is gone again
            connection, _ = listener.accept()
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, (port, connection))

    def _greeted(self, selector: selectors.BaseSelector, connection: socket.socket) -> str | None:
        """The name of a guest that has shown the token; None for anybody else."""
        selector.unregister(connection)
        try:
            token, _, name = connection.recv(_LONGEST).decode("ascii", "replace").strip().partition(" ")
            if token != self.token:
                return None
            connection.send(self.token.encode("ascii") + b"\n")
            return name
        except OSError:
            return None
        finally:
            connection.close()

    def _visit(self, port: int, name: str) -> dict[str, Any]:
        came = begun = time.monotonic()
        while True:
            try:
                with socket.create_connection((self.address, port), timeout=_CONNECT) as connection:
                    taken = time.monotonic() - begun
                    connection.sendall(f"{self.token} {name}\n".encode("ascii"))
                    if connection.recv(_LONGEST).strip() == self.token.encode("ascii"):
                        return {"ms": round(1000 * taken, 2)}
                reason, patience = "something else answers there", self.seconds
            except ConnectionError as error:
                # It may only begin to listen.
                reason, patience = error.strerror or str(error), self.seconds
            except OSError as error:
                reason, patience = error.strerror or str(error), min(_RECOVERY, self.seconds)
            time.sleep(_PAUSE)
            begun = time.monotonic()
            if begun - came >= patience:
                return {"reason": reason}
