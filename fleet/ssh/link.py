"""A byte stream to a host as the SSH library reads and writes one, which notices when nobody is at the other end."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from fleet.ssh.endpoint import Watchdog

if TYPE_CHECKING:
    from fleet.ssh.wire import paramiko

#: Read at once from the socket: eight SSH packets.
_PIECE = 1 << 18
#: Linux: acknowledge at once, since sshd's Nagle waits for that. The kernel forgets it, so it is set for each read.
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


class Link(ABC):
    """Reads in large pieces, asks a silent peer whether it lives, and ends the stream when it stays silent.

    The library calls `recv` in one thread and `send` in several, and takes TimeoutError as "try again".
    """

    def __init__(self, watchdog: Watchdog, on_close: Callable[[], None] | None = None) -> None:
        self._watchdog, self._on_close = watchdog, on_close
        #: Seconds after which a wait is looked at.
        self._tick = min(1.0, watchdog.interval / 3)
        self._held: memoryview = memoryview(b"")
        self._heard = self._looked = self._asked = time.monotonic()
        self._ask: Callable[[], None] | None = None
        self.closed = False
        self.failure: str | None = None
        """Why the stream ended, if it did so by itself."""

    @property
    def _closed(self) -> bool:
        """The name that the library asks for, as of a socket."""
        return self.closed

    def watch(self, ask: Callable[[], None]) -> None:
        """From now on, silence counts; `ask` sends something that the peer must answer. Until then, whoever connects
        has limits of their own."""
        self._heard = time.monotonic()
        self._ask = ask

    def settimeout(self, seconds: float) -> None:  # noqa: B027 - the library calls it on whatever it is given
        """Ignored: the library would look ten times a second, the link looks as often as its watchdog needs."""

    def recv(self, count: int) -> bytes:
        """Up to `count` bytes; none at the end of the stream. Raises TimeoutError when there are none yet."""
        if not self._held:
            try:
                self._held = memoryview(self._receive())
            except TimeoutError as error:
                if error.errno is None and self._alive(ask=True):
                    raise
                self.failure = self.failure or str(error)
            except OSError as error:
                self.failure = self.failure or error.strerror or str(error)
            else:
                self._heard = self._looked = time.monotonic()
        piece, self._held = bytes(self._held[:count]), self._held[count:]
        return piece

    def send(self, data: bytes) -> int:
        """Write some of the bytes; how many. Raises TimeoutError when there is no room yet, OSError at the end."""
        try:
            return self._write(data)
        except TimeoutError as error:
            if error.errno is None and self._alive(ask=False):
                raise
            self.failure = self.failure or str(error)
            self.close()
            raise ConnectionAbortedError(errno.ECONNABORTED, self.failure) from error

    @abstractmethod
    def writable(self, seconds: float) -> bool:
        """Whether a packet can be sent without waiting, now or within so many seconds. An ended stream takes any."""

    def close(self) -> None:
        """End the stream; a thread that waits in `recv` wakes up. May be called twice."""
        if not self.closed:
            self.closed = True
            self._end()
            if self._on_close is not None:
                self._on_close()

    @abstractmethod
    def _receive(self) -> memoryview | bytes: ...

    @abstractmethod
    def _write(self, data: bytes) -> int: ...

    @abstractmethod
    def _end(self) -> None: ...

    def _alive(self, *, ask: bool) -> bool:
        if self._ask is None:
            return not self.closed
        now = time.monotonic()
        # A process that was stopped for a while has not listened, so it cannot say that the peer was silent.
        if now - self._looked > 2 * self._tick + 1:
            self._heard = now
        self._looked = now
        silence = now - self._heard
        if silence >= self._watchdog.limit:
            self.failure = f"no answer for {silence:.0f} s"
            return False
        if ask and silence >= self._watchdog.interval and now - self._asked >= self._watchdog.interval:
            self._asked = now
            self._ask()
        return not self.closed


class SocketLink(Link):
    """A link over a socket: TCP to a host, or the local end of a ProxyCommand."""

    def __init__(self, below: socket.socket, watchdog: Watchdog, on_close: Callable[[], None] | None = None) -> None:
        super().__init__(watchdog, on_close)
        self._socket, self._space = below, memoryview(bytearray(_PIECE))
        below.settimeout(self._tick)
        self._tcp = below.family in (socket.AF_INET, socket.AF_INET6)
        if self._tcp:
            below.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if _USER_TIMEOUT is not None:
                below.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(1500 * watchdog.limit))

    def writable(self, seconds: float) -> bool:
        """Whether the kernel takes a packet."""
        if self.closed:
            return True
        descriptor = self._socket.fileno()
        # One for each call, since several threads may ask at the same time.
        room = select.poll()
        if descriptor >= 0:
            room.register(descriptor, select.POLLOUT)
        return descriptor < 0 or bool(room.poll(1000 * seconds))

    def _receive(self) -> memoryview | bytes:
        if self._tcp and _QUICKACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return self._space[: self._socket.recv_into(self._space)]

    def _write(self, data: bytes) -> int:
        return self._socket.send(data)

    def _end(self) -> None:
        # Closing alone would leave the reading thread asleep.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class ChannelLink(Link):
    """A link over a channel of another connection: through a jump host."""

    def __init__(self, below: paramiko.Channel, watchdog: Watchdog, on_close: Callable[[], None] | None = None) -> None:
        super().__init__(watchdog, on_close)
        self._channel = below
        below.settimeout(self._tick)

    def writable(self, seconds: float) -> bool:
        """Whether the channel's window takes a packet; it cannot be waited for, so it is looked at."""
        until = time.monotonic() + seconds
        while not (ready := self.closed or self._channel.send_ready()) and time.monotonic() < until:
            time.sleep(min(0.01, seconds))
        return ready

    def _receive(self) -> memoryview | bytes:
        return self._channel.recv(_PIECE)

    def _write(self, data: bytes) -> int:
        return self._channel.send(data)

    def _end(self) -> None:
        self._channel.close()
