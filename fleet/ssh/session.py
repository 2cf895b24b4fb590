"""One remote command: its input, both streams of its output and its end, in one loop under one deadline."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator

from fleet.errors import RemoteFailed
from fleet.ssh.deadline import Deadline
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.failures import ConnectionLost, lost
from fleet.ssh.transport import Sink, Stream
from fleet.ssh.wire import Wire, paramiko

#: What one packet takes: OpenSSH's 32 KiB less what the library keeps for headers.
_PACKET = (1 << 15) - 64
#: What the library raises when the connection ends, wherever that happens.
GONE = (EOFError, OSError, paramiko.SSHException)
#: Seconds to wait for room in the socket before looking at everything else again.
_MOMENT = 0.05


class Session:
    """A started command. Whoever starts it must close it.

    Input and output go on side by side, so a command that writes while it is fed never waits for us to read.
    """

    def __init__(
        self, endpoint: Endpoint, wire: Wire, channel: paramiko.Channel, line: str, on_close: Callable[[], None]
    ) -> None:
        self._endpoint, self._wire, self._channel, self._on_close = endpoint, wire, channel, on_close
        self._closing = threading.Lock()
        self.closed = False
        channel.setblocking(False)
        self._inbox = wire.start_command(channel, line)

    def run(self, chunks: Iterable[bytes], sink: Sink, deadline: Deadline, *, held: bool = False) -> int:
        """Feed the chunks and hand over output until the command ends; its status. What it does not read is not sent.

        An empty chunk means that there is nothing to send yet. Its stdin ends behind the chunks, or with `held` when
        the session does.

        Raises RemoteFailed, Unreachable, DeadlinePassed, and whatever the chunks and the sink raise.
        """
        source: Iterator[bytes] | None = iter(chunks)
        pending = memoryview(b"")
        while True:
            seen = self._inbox.changes
            for stream, data in self.arrived():
                sink(stream, data)
            if self.over:
                return self.status()
            deadline.check(self._doing)
            if source is not None and not self._inbox.deaf:
                if not pending:
                    chunk = next(source, None)
                    if chunk is None:
                        source = None
                        if not held:
                            self.end_input()
                    pending = memoryview(chunk or b"")
                    continue
                # A full socket is waited for here and not in the library, which knows no deadline.
                if not self._wire.link.writable(_MOMENT):
                    continue
                if sent := self._send(pending):
                    pending = pending[sent:]
                    continue
            if not self._inbox.wait(seen, deadline.at):
                raise deadline.error(self._doing)

    def wait(self, deadline: Deadline) -> Iterator[tuple[Stream, bytes]]:
        """Output as it arrives, until the command ends or the session is closed."""
        while True:
            seen = self._inbox.changes
            yield from self.arrived()
            if self.over:
                return
            if not self._inbox.wait(seen, deadline.at):
                raise deadline.error(self._doing)

    def arrived(self) -> Iterator[tuple[Stream, bytes]]:
        """What has arrived by now. Taking it tells the host that more may come."""
        while self._inbox.pieces:
            stream = self._inbox.pieces[0][0]
            take = self._channel.recv if stream == "out" else self._channel.recv_stderr
            try:
                yield stream, take(_PACKET)
            except GONE as gone:
                raise self._lost() from gone

    @property
    def over(self) -> bool:
        """Whether nothing more will come: the output has ended, and the status is known or never will be."""
        inbox = self._inbox
        return inbox.ended and not inbox.pieces and (inbox.status is not None or self._channel.closed)

    def status(self) -> int:
        """How the command ended, once it is over. Raises RemoteFailed, Unreachable."""
        if self._inbox.refused:
            why = "the account may have no shell, or be allowed to transfer files only"
            raise self._failed("the host refuses to run commands", why)
        if self._inbox.status is not None and self._inbox.whole:
            return self._inbox.status
        if self._inbox.closed or self.closed:
            raise self._failed("the command ended without a status", "its session was closed while it ran")
        raise self._lost()

    def end_input(self) -> None:
        """The command's stdin ends."""
        with self._gone_is_seen_later():
            self._channel.shutdown_write()

    def close(self) -> None:
        """End the command: its stdin ends, then its channel is closed. May be called twice, and from any thread."""
        with self._closing:
            if self.closed:
                return
            self.closed = True
        if self._inbox.closed or self._wire.link.writable(0):
            self._goodbye()
        else:
            # The link is full of what nobody takes: saying goodbye waits for room, or for the watchdog.
            threading.Thread(target=self._goodbye, name=f"closing on {self._endpoint.name}", daemon=True).start()

    def _goodbye(self) -> None:
        with self._gone_is_seen_later():
            self._channel.close()
        self._on_close()

    def _send(self, data: memoryview) -> int:
        with self._gone_is_seen_later():
            return self._channel.send(bytes(data[:_PACKET]))
        return 0

    def _gone_is_seen_later(self) -> contextlib.AbstractContextManager[object]:
        """No window (TimeoutError), or a channel or connection that has just ended: the loop finds out which."""
        return contextlib.suppress(*GONE)

    @property
    def _doing(self) -> str:
        return f"the command on {self._endpoint.name}"

    def _lost(self) -> ConnectionLost:
        return lost(self._endpoint, self._wire.link.failure, begun=True)

    def _failed(self, what: str, why: str) -> RemoteFailed:
        name = self._endpoint.name
        fix = "look at the host's sshd log and at the account's shell"
        return RemoteFailed(f"{what} on {name}", why=why, fix=fix, example=f"fleet ssh {name}", host=name)
