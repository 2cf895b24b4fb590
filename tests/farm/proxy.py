"""A TCP proxy that misbehaves on command: it delays, limits, cuts at an exact byte, resets, and swallows."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from tests.farm.relay import Limits, Pipe, Relay, reset, swallow

Mode = Literal["close", "rst", "hole"]
Direction = Literal["up", "down", "both"]
T = TypeVar("T")


class Proxy:
    """Listens on its own port of 127.0.0.1 and passes everything to the target; use it as a context manager.

    `delay_ms` is added to each direction, so that a round trip takes twice as long; `rate_mib` limits each direction,
    in MiB a second. `up` is from the client to the target. All methods may be called from any thread, and what they ask
    for has happened when they return.
    """

    def __init__(
        self, target_address: str, target_port: int, *, delay_ms: float = 0, rate_mib: float | None = None
    ) -> None:
        self.target = (target_address, target_port)
        self.address, self.port = "127.0.0.1", 0
        self._limits = Limits(delay_ms / 1000, None if rate_mib is None else rate_mib * (1 << 20))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._listener = socket.socket()
        self._relays: set[Relay] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut = threading.Event()
        self.connections = 0
        """How many connections were accepted."""

    @property
    def delay_ms(self) -> float:
        """Milliseconds added to each direction, from now on when set."""
        return self._limits.delay * 1000

    @delay_ms.setter
    def delay_ms(self, value: float) -> None:
        self._limits.delay = value / 1000

    @property
    def bytes_up(self) -> int:
        """Bytes passed to the target, over all connections."""
        return self._limits.passed["up"]

    @property
    def bytes_down(self) -> int:
        """Bytes passed to clients, over all connections."""
        return self._limits.passed["down"]

    def cut_after(self, count: int, mode: Mode = "close", direction: Direction = "both") -> None:
        """Cut a connection once exactly so many more bytes have passed, counted from now over all connections.

        It happens once, to the connection that carries the last of these bytes: `close` ends both sides in order,
        `rst` resets them, `hole` keeps them open and swallows what comes. Other connections, and later ones, go on.
        """
        self._cut.clear()
        self._call(lambda: self._limits.arm(count, mode, direction))

    def disarm(self) -> None:
        """Forget a cut that has not happened yet."""
        self._call(self._limits.disarm)

    @property
    def has_cut(self) -> bool:
        """Whether the last `cut_after` has happened."""
        return self._cut.is_set()

    def wait_cut(self, seconds: float) -> bool:
        """Wait for the cut; False if it has not happened by then."""
        return self._cut.wait(seconds)

    def reset_all(self) -> None:
        """Reset every connection now."""
        self._run(self._end("rst"))

    def close_all(self) -> None:
        """Close every connection in order now."""
        self._run(self._end("close"))

    def hole(self, on: bool = True) -> None:
        """Swallow everything of all connections, also of later ones, until turned off.

        Bytes swallowed are lost, so a connection that was used meanwhile is broken afterwards.
        """
        self._call(lambda: setattr(self._limits, "hole", on))

    def close(self) -> None:
        """End all connections and the thread."""
        if self._loop.is_closed():
            return
        self._listener.close()
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        self._listener.bind((self.address, 0))
        self._listener.listen(512)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._thread.start()
        self._call(lambda: self._spawn(self._accept()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _end(self, mode: Mode) -> None:
        relays = list(self._relays)
        for relay in relays:
            relay.end(mode)
        for relay in relays:
            await relay.over.wait()

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._listener)
            except OSError:
                return
            self.connections += 1
            self._spawn(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        """Carry one connection until both directions have ended or it is cut."""
        if self._limits.hole:
            with client:
                await swallow(client)
            return
        target = socket.socket()
        target.setblocking(False)
        for side in (client, target):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(target, self.target)
        except OSError:
            # The target refuses: so does the proxy, as far as it still can.
            reset(client)
            target.close()
            return
        relay = Relay(Pipe("up", client, target), Pipe("down", target, client), self._limits, self._cut.set)
        self._relays.add(relay)
        try:
            await relay.run()
        finally:
            self._relays.discard(relay)

    async def _shut(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _call(self, action: Callable[[], T]) -> T:
        async def act() -> T:
            return action()

        return self._run(act())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
