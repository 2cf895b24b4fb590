"""The connections of one process: one for each host, shared by all threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fleet.ssh.connection import SshTransport
from fleet.ssh.deadline import Deadline
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.keys import Ask, KeyRing, ask_on_terminal
from fleet.ssh.link import Link

if TYPE_CHECKING:
    from fleet.ssh.trust import Presented


class Pool:
    """Transports by name. Nothing is opened before it is needed; hosts behind one jump host share its connection."""

    def __init__(
        self, endpoints: Mapping[str, Endpoint], *, ask: Ask = ask_on_terminal, ask_password: Ask | None = None
    ) -> None:
        """`ask` asks for passphrases of keys. Passwords of hosts are never used unless `ask_password` is given."""
        self._endpoints = dict(endpoints)
        self._ring = KeyRing(ask, ask_password)
        self._lock = threading.Lock()
        self._transports: dict[Endpoint, SshTransport] = {}

    def get(self, name: str, deadline: Deadline) -> SshTransport:
        """The transport to a host, connected. Raises KeyError for a name that the pool was not given, Usage,
        Unreachable, HostKeyRefused, AuthenticationFailed, DeadlinePassed.
        """
        transport = self.to(self._endpoints[name])
        transport.open(deadline)
        return transport

    def to(self, endpoint: Endpoint) -> SshTransport:
        """The transport to any endpoint, such as a host on the way to another one; it connects when it is used."""
        with self._lock:
            if endpoint not in self._transports:
                self._transports[endpoint] = SshTransport(endpoint, self.tunnel, self._ring)
            return self._transports[endpoint]

    def presented(self, endpoint: Endpoint, deadline: Deadline) -> Presented:
        """The key that a host shows, fetched without signing in; hosts on the way must be trusted."""
        from fleet.ssh.trust import present

        return present(endpoint, self.tunnel, deadline)

    def tunnel(self, hop: Endpoint, host: str, port: int, deadline: Deadline) -> Link:
        """A stream from a host to an address behind it."""
        return self.to(hop).tunnel(host, port, deadline)

    def close(self) -> None:
        """Close every connection, those behind jump hosts first."""
        with self._lock:
            transports = list(self._transports.values())
        for transport in sorted(transports, key=lambda one: -len(one.endpoint.jump)):
            transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
