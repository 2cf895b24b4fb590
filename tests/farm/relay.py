"""One connection through the chaos proxy: two pipes, what may pass through them, and the ways it can end."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

PIECE = 128 << 10
#: What one direction may hold back, bytes: enough for 1 GiB/s at 30 ms, so that a delay does not become a rate limit.
HELD = 32 << 20


@dataclass
class Limits:
    """What holds for all connections of a proxy."""

    delay: float
    """Seconds, each direction."""
    rate: float | None
    """Bytes a second, each direction."""
    hole: bool = False
    passed: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    _free: dict[str, float] = field(default_factory=lambda: {"up": 0.0, "down": 0.0})
    _cut: tuple[int, str, str] | None = None

    def arm(self, count: int, mode: str, direction: str) -> None:
        """Cut after so many more bytes."""
        if count < 0 or mode not in ("close", "rst", "hole") or direction not in ("up", "down", "both"):
            raise ValueError(f"no such cut: after {count} bytes, mode {mode!r}, direction {direction!r}")
        self._cut = (count, mode, direction)

    def disarm(self) -> None:
        """No cut."""
        self._cut = None

    def take(self, direction: str, size: int) -> tuple[int, str | None]:
        """How many of `size` bytes may pass, and the way to cut after them, if this is where."""
        if self._cut is None or self._cut[2] not in (direction, "both"):
            return size, None
        left, mode, which = self._cut
        if size < left:
            self._cut = (left - size, mode, which)
            return size, None
        self._cut = None
        return left, mode

    def piece(self) -> int:
        """Bytes to read at once: little under a rate limit, so that it is felt evenly."""
        return PIECE if self.rate is None else max(1024, min(PIECE, int(self.rate / 50)))

    def slot(self, direction: str, size: int, now: float) -> float:
        """When so many bytes have left, if they queue up now behind what was let through before."""
        if self.rate is None:
            return now
        self._free[direction] = max(now, self._free[direction]) + size / self.rate
        return self._free[direction]


@dataclass
class Pipe:
    """One direction of a connection."""

    direction: str
    source: socket.socket
    sink: socket.socket
    held: collections.deque[tuple[float, bytes]] = field(default_factory=collections.deque)
    size: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, due: float, data: bytes) -> None:
        """Hold a piece until its time has come; an empty one means that the source has ended."""
        self.held.append((due, data))
        self.size += len(data)
        self.changed.set()

    async def pull(self) -> tuple[float, bytes]:
        """The oldest piece."""
        while not self.held:
            self.changed.clear()
            await self.changed.wait()
        due, data = self.held.popleft()
        self.size -= len(data)
        self.changed.set()
        return due, data

    async def room(self) -> None:
        """Until more may be held."""
        while self.size > HELD:
            self.changed.clear()
            await self.changed.wait()


class Relay:
    """Two pipes between a client and the target."""

    def __init__(self, up: Pipe, down: Pipe, limits: Limits, on_cut: Callable[[], None]) -> None:
        self._up, self._down, self._limits, self._on_cut = up, down, limits, on_cut
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[str] = self._loop.create_future()
        self.over = asyncio.Event()
        """Set once no byte passes any more."""

    def end(self, mode: str) -> None:
        """End the connection: `close`, `rst` or `hole`. The first end counts."""
        if not self._ending.done():
            self._ending.set_result(mode)

    async def run(self) -> None:
        """Carry bytes until both sides have ended or `end` is called; both sockets are closed afterwards."""
        pipes = (self._up, self._down)
        work = asyncio.ensure_future(self._carry(pipes))
        try:
            either: list[asyncio.Future[Any]] = [work, self._ending]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            if self._ending.done():
                await self._finish(self._ending.result())
        finally:
            self.over.set()
            work.cancel()
            for pipe in pipes:
                pipe.source.close()

    async def _carry(self, pipes: Sequence[Pipe]) -> None:
        await asyncio.gather(*(step(pipe) for pipe in pipes for step in (self._read, self._write)))

    async def _read(self, pipe: Pipe) -> None:
        while True:
            await pipe.room()
            try:
                data = await self._loop.sock_recv(pipe.source, self._limits.piece())
            except OSError:
                # The side reset the connection. A hole hides that, too.
                if not self._limits.hole:
                    self.end("rst")
                return
            pipe.push(self._loop.time() + self._limits.delay, data)
            if not data:
                return

    async def _write(self, pipe: Pipe) -> None:
        while True:
            due, data = await pipe.pull()
            due = max(due, self._limits.slot(pipe.direction, len(data), self._loop.time()))
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            if not data:
                self._pass_end(pipe)
                return
            if not self._limits.hole and not await self._pass(pipe, data):
                return

    async def _pass(self, pipe: Pipe, data: bytes) -> bool:
        """Send one piece, or what may pass of it; whether the connection goes on."""
        allowed, mode = self._limits.take(pipe.direction, len(data))
        # Counted before they are sent: who sees them arrive sees them counted.
        self._limits.passed[pipe.direction] += allowed
        try:
            await self._loop.sock_sendall(pipe.sink, data[:allowed])
        except OSError:
            self.end("rst")
            return False
        if mode is None:
            return True
        await self._delivered(pipe.sink)
        self.end(mode)
        self._on_cut()
        return False

    def _pass_end(self, pipe: Pipe) -> None:
        if not self._limits.hole:
            with contextlib.suppress(OSError):
                pipe.sink.shutdown(socket.SHUT_WR)

    async def _delivered(self, sock: socket.socket) -> None:
        """Until the other side's kernel has all that was sent (1 s at most): a reset would drop the rest."""
        deadline = self._loop.time() + 1
        while self._loop.time() < deadline:
            [unsent] = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
            if unsent == 0:
                return
            await asyncio.sleep(0.001)

    async def _finish(self, mode: str) -> None:
        sides = (self._up.source, self._down.source)
        if mode == "rst":
            for side in sides:
                reset(side)
            return
        if mode == "close":
            for side in sides:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_WR)
        self.over.set()
        # Closing a socket with unread bytes would reset it, so they are read until the side itself ends.
        await asyncio.gather(*(swallow(side) for side in sides))


async def swallow(sock: socket.socket) -> None:
    """Read and drop everything until the other side ends."""
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(sock, PIECE):
            continue
    except OSError:
        return


def reset(sock: socket.socket) -> None:
    """Close with a reset instead of an orderly end: what is still unread or unsent is dropped."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
