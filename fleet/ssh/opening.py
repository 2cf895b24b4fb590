"""How a connection comes about: reach the host, see its key, check it, and only then say who we are."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fleet.errors import Unreachable
from fleet.ssh.configuration import Settings, effective
from fleet.ssh.deadline import Deadline
from fleet.ssh.dial import dial
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.failures import NoSharedAlgorithm, silence, unreachable
from fleet.ssh.hostkeys import ALGORITHMS, Expectation
from fleet.ssh.knownhosts import HostKey
from fleet.ssh.link import Link
from fleet.ssh.route import previous, route

if TYPE_CHECKING:
    from fleet.ssh.keys import KeyRing
    from fleet.ssh.wire import Wire

#: Seconds for the server to say what it is, and for the key exchange after that.
BANNER = 15.0
EXCHANGE = 15.0
#: Seconds between two looks at how far a connection has come.
_LOOK = 0.05
#: Seconds before the second, third and fourth attempt, drawn from these ranges. A server drops connections that come
#: all at once (MaxStartups), so they must not come back all at once.
_WAITS = ((0.02, 0.2), (0.1, 0.6), (0.3, 1.2))
#: A refusal that took longer than this many seconds is no sudden rush.
_AT_ONCE = 5.0
#: Opens a stream from a hop to an address: hop, host, port, deadline.
Tunnel = Callable[[Endpoint, str, int, Deadline], Link]


class Opening:
    """Opens connections to one endpoint."""

    def __init__(self, endpoint: Endpoint, tunnel: Tunnel) -> None:
        self._endpoint, self._tunnel = endpoint, tunnel
        self._said: Callable[[], str] = str

    def sign_in(self, ring: KeyRing, deadline: Deadline) -> Wire:
        """A connection to the right host, signed in.

        Raises Usage, Unreachable, HostKeyRefused, AuthenticationFailed, DeadlinePassed.
        """
        settings = effective(self._endpoint)
        expectation = Expectation.of(self._endpoint, settings)
        wire, key = self.meet(settings, expectation, deadline)
        try:
            expectation.check(key)
            from fleet.ssh.authentication import sign_in

            sign_in(wire, self._endpoint, settings, ring, deadline)
        except BaseException:
            wire.end()
            raise
        wire.watch()
        return wire

    def meet(self, settings: Settings, expectation: Expectation, deadline: Deadline) -> tuple[Wire, HostKey]:
        """An encrypted connection and the key that its server has shown, unchecked. Nothing is said about the user."""
        route(self._endpoint)
        algorithms = expectation.algorithms()
        wire, key = self._greeted(settings, algorithms, deadline)
        # A pin does not tell the type of its key, and a server has one of each: ask for the others.
        while expectation.judge(key) == "pinned":
            algorithms = tuple(name for name in algorithms if ALGORITHMS[name] != key.kind)
            try:
                other, other_key = self._greeted(settings, algorithms, deadline)
            except NoSharedAlgorithm:
                break
            wire.end()
            wire, key = other, other_key
        return wire, key

    def _greeted(self, settings: Settings, algorithms: tuple[str, ...], deadline: Deadline) -> tuple[Wire, HostKey]:
        """Connect and exchange keys; again, if the server dropped us before it said anything."""
        waits, began = list(_WAITS), time.monotonic()
        while True:
            link = self._way(settings, deadline)
            # Here, so that the library is loaded while the server prepares its side.
            from fleet.ssh.wire import Wire

            wire = Wire(link, self._endpoint.name, algorithms)
            try:
                return wire, self._exchange(wire, deadline)
            except Unreachable:
                wire.end()
                # A server that is busy drops us at once. One that kept us waiting would do so again.
                if wire.greeted or not waits or deadline.passed() or time.monotonic() - began > _AT_ONCE:
                    raise
            except BaseException:
                wire.end()
                raise
            time.sleep(min(random.uniform(*waits.pop(0)), deadline.remaining()))

    def _way(self, settings: Settings, deadline: Deadline) -> Link:
        """The stream to the host's SSH port: through hops, through a command, or straight."""
        hop = previous(self._endpoint, settings)
        if hop is not None:
            return self._tunnel(hop, settings.hostname, settings.port, deadline)
        if settings.proxy_command is not None:
            from fleet.ssh.proxycommand import ProxyCommand

            command = ProxyCommand(settings.proxy_command)
            self._said = command.said
            return command.link(self._endpoint.watchdog)
        return dial(self._endpoint, settings, deadline)

    def _exchange(self, wire: Wire, deadline: Deadline) -> HostKey:
        """The key that the server shows. It has one limit for its greeting, and another one for all that follows."""
        done, greeted, limit = threading.Event(), False, deadline.sooner(BANNER)
        # The library's own limit would be told as if something had gone wrong with reading.
        wire.banner_timeout = math.inf
        wire.start_client(event=done)
        while not done.wait(min(_LOOK, limit.remaining())):
            if wire.greeted and not greeted:
                greeted, limit = True, deadline.sooner(EXCHANGE)
            elif limit.passed():
                deadline.check(f"exchanging keys with {self._endpoint.name}")
                raise self._failed(wire, silence(limit.seconds))
        if wire.is_active():
            key = wire.get_remote_server_key()
            return HostKey(key.get_name(), key.asbytes())
        from fleet.ssh.wire import paramiko

        error = wire.get_exception()
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            why = "the host offers only algorithms that are too old, or too new, for fleet's SSH library"
            what, fix = f"{error} ({wire.remote_version})", "update OpenSSH on the host"
            raise NoSharedAlgorithm(what, why=why, fix=fix, example="ssh -Q kex", host=self._endpoint.name)
        raise self._failed(wire, wire.link.failure or _reason(error))

    def _failed(self, wire: Wire, told: str) -> Unreachable:
        """The error for a server that did not show its key, with the phase in which that happened."""
        said = self._said()
        aside = f" (ProxyCommand says: {said})" if said else ""
        if not wire.greeted:
            why = "nothing that speaks SSH answered: another service, too many connections at once, or a dead host"
            return unreachable(self._endpoint, f"no SSH greeting: {told}{aside}", why)
        why = "the host or the network between stopped answering, or the host ended the connection"
        return unreachable(self._endpoint, f"{told} during the key exchange{aside}", why)


def _reason(error: Exception | None) -> str:
    """Why the library's thread ended. What went wrong with reading a greeting is below what it says of that."""
    below = error.__context__ if error is not None else None
    if error is None or isinstance(error, EOFError) or isinstance(below, EOFError):
        return "it closed the connection"
    return "it stopped after the first lines" if isinstance(below, TimeoutError) else str(error)
