"""One open connection to a host, and the commands that share it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fleet.errors import DeadlinePassed
from fleet.ssh.deadline import Deadline
from fleet.ssh.dial import CONNECT
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.failures import ConnectionLost, lost, silence, unreachable
from fleet.ssh.link import ChannelLink, Link
from fleet.ssh.session import GONE, Session
from fleet.ssh.slots import Slots
from fleet.ssh.wire import Wire, paramiko

#: Commands at the same time. OpenSSH allows ten sessions on a connection, and its user may have some.
CHANNELS = 6
#: Channels after which a connection is replaced: the library keeps a little of each for ever (paramiko issue 1685).
RECYCLE = 10_000
#: Seconds for which a server that refuses a session is asked again, when none of ours is open: it may still be busy
#: with the end of the one before.
_PATIENCE = 2.0


class Refused(Exception):
    """The server does not open a channel."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Opened:
    """A signed-in connection. It closes itself once it is retired and nobody uses it any more."""

    def __init__(self, endpoint: Endpoint, wire: Wire) -> None:
        self.wire = wire
        self._endpoint = endpoint
        self._slots = Slots(CHANNELS)
        self._lock = threading.Lock()
        self._users = self._channels = 0
        self._retired = False

    @property
    def usable(self) -> bool:
        """Whether a new command may use it."""
        return self.wire.is_active() and self._channels < RECYCLE

    def start(self, line: str, deadline: Deadline) -> Session:
        """Start a command, once there is room for one. Raises NeverBegun, Unreachable, DeadlinePassed."""
        doing = f"waiting for a free session on {self._endpoint.name}"
        self._slots.take(deadline, doing)
        self._use(1)
        try:
            channel = self._session(deadline, doing)
            return Session(self._endpoint, self.wire, channel, line, self._session_closed)
        except GONE as gone:
            # The host may have got the command.
            self._session_closed()
            raise lost(self._endpoint, self.wire.link.failure, begun=True) from gone
        except BaseException:
            self._session_closed()
            raise

    def tunnel(self, host: str, port: int, deadline: Deadline) -> Link:
        """A stream from this host to another address. Raises NeverBegun, Unreachable, DeadlinePassed."""
        doing = f"connecting from {self._endpoint.name} to {host} port {port}"

        def open_channel(seconds: float) -> paramiko.Channel:
            return self.wire.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=seconds)

        limit = deadline.sooner(CONNECT)
        self._use(1)
        try:
            channel = self._open(open_channel, limit, doing)
        except (Refused, DeadlinePassed) as failure:
            self._use(-1)
            deadline.check(doing)
            told = failure.reason if isinstance(failure, Refused) else silence(limit.seconds)
            why = "the jump host cannot reach that address, or may not forward connections"
            raise unreachable(self._endpoint, f"{doing}: {told}", why) from failure
        except BaseException:
            self._use(-1)
            raise
        return ChannelLink(channel, self._endpoint.watchdog, on_close=lambda: self._use(-1))

    def retire(self) -> None:
        """No new command uses it; it closes after the last one."""
        with self._lock:
            self._retired = True
        self._use(0)

    def close(self) -> None:
        """Close it now, with what runs on it."""
        self.wire.end()

    def _session(self, deadline: Deadline, doing: str) -> paramiko.Channel:
        """A session. A server that refuses one because it has enough is asked again when one of ours has ended."""
        until, wait = time.monotonic() + _PATIENCE, 0.005
        while True:
            try:
                return self._open(lambda seconds: self.wire.open_session(timeout=seconds), deadline, doing)
            except Refused as refused:
                if self._slots.lower(deadline, doing):
                    continue
                if time.monotonic() > until:
                    why = "sshd's MaxSessions forbids it, or the host has no process left for it"
                    raise unreachable(self._endpoint, f"it refuses a session: {refused.reason}", why) from refused
            time.sleep(wait)
            wait = min(2 * wait, 0.2)

    def _open(self, ask: Callable[[float], paramiko.Channel], deadline: Deadline, doing: str) -> paramiko.Channel:
        """Raises Refused if the server says no, NeverBegun if it says nothing any more."""
        try:
            channel = ask(max(0.05, deadline.remaining()))
        except paramiko.SSHException as failure:
            if not self.wire.is_active():
                raise self._lost() from failure
            deadline.check(doing)
            # The library keeps one exception for all threads, so the reason may have gone to another one.
            raise Refused(getattr(failure, "text", "") or str(failure)) from failure
        except (EOFError, OSError) as failure:
            raise self._lost() from failure
        self._channels += 1
        return channel

    def _lost(self) -> ConnectionLost:
        # Its own thread may not have noticed yet, and nobody else shall try it.
        self.wire.end()
        return lost(self._endpoint, self.wire.link.failure, begun=False)

    def _session_closed(self) -> None:
        self._slots.give_back()
        self._use(-1)

    def _use(self, change: int) -> None:
        with self._lock:
            self._users += change
            idle = self._retired and self._users == 0
        if idle:
            self.wire.end()
