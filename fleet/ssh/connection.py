"""The transport over SSH: the three verbs, on a connection that is opened when needed and again after a cut."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from fleet.errors import DeadlinePassed, FleetError
from fleet.ssh.command import Cmd, Result
from fleet.ssh.deadline import Deadline
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.failures import NeverBegun, lost
from fleet.ssh.link import Link
from fleet.ssh.opening import Opening, Tunnel
from fleet.ssh.transport import Sink, Stream

if TYPE_CHECKING:
    from fleet.ssh.keys import KeyRing
    from fleet.ssh.opened import Opened
    from fleet.ssh.output import RemoteOutput
    from fleet.ssh.session import Session
    from fleet.ssh.wire import Wire


T = TypeVar("T")


class SshTransport:
    """One host. Threads share its connection; a dead or worn-out one is replaced when it is next needed."""

    def __init__(self, endpoint: Endpoint, through: Tunnel, ring: KeyRing) -> None:
        """`through` opens streams from hosts on the way."""
        self.endpoint = endpoint
        self._through, self._ring = through, ring
        #: Held while connecting, which may take long; the other one only for a look.
        self._opening, self._lock = threading.Lock(), threading.Lock()
        self._opened: Opened | None = None
        self._closings = 0
        self._failure: tuple[float, FleetError] | None = None

    @property
    def name(self) -> str:
        """The host as the user calls it."""
        return self.endpoint.name

    def exec(self, cmd: Cmd, *, stdin: bytes = b"", deadline: Deadline, sink: Sink | None = None) -> Result:
        """Run a command and collect its output, or hand it to `sink` as it comes (then the result holds none)."""
        return self._run(cmd, [stdin] if stdin else [], deadline, sink)

    def stream_in(self, cmd: Cmd, chunks: Iterable[bytes], *, deadline: Deadline, sink: Sink | None = None) -> Result:
        """Run a command and feed its stdin. If the command ends early, the rest of the chunks is not sent."""
        return self._run(cmd, chunks, deadline, sink)

    def stream_out(self, cmd: Cmd, *, deadline: Deadline) -> RemoteOutput:
        """Run a command and read its stdout as it comes."""
        session = self._start(cmd, deadline)
        from fleet.ssh.output import RemoteOutput

        return RemoteOutput(session, deadline)

    def open(self, deadline: Deadline) -> Wire:
        """Connect, unless a good connection is there. Raises what opening can raise."""
        return self._connected(deadline).wire

    def tunnel(self, host: str, port: int, deadline: Deadline) -> Link:
        """A stream from this host to another address, for hosts behind it."""
        return self._attempt(lambda opened: opened.tunnel(host, port, deadline), deadline)

    def close(self) -> None:
        """Close the connection, with what runs on it. The next verb opens another one."""
        with self._lock:
            opened, self._opened = self._opened, None
            self._closings += 1
        if opened is not None:
            opened.close()

    def _run(self, cmd: Cmd, chunks: Iterable[bytes], deadline: Deadline, sink: Sink | None) -> Result:
        kept: dict[Stream, list[bytes]] = {"out": [], "err": []}
        session = self._start(cmd, deadline)
        try:
            collect = sink or (lambda stream, data: kept[stream].append(data))
            rc = session.run(chunks, collect, deadline, held=cmd.held)
        finally:
            session.close()
        return Result(rc, b"".join(kept["out"]), b"".join(kept["err"]))

    def _start(self, cmd: Cmd, deadline: Deadline) -> Session:
        line = cmd.line()
        return self._attempt(lambda opened: opened.start(line, deadline), deadline)

    def _attempt(self, begin: Callable[[Opened], T], deadline: Deadline) -> T:
        """Begin something on the connection; on another one if this one turns out to be gone before it has begun."""
        try:
            return begin(self._connected(deadline))
        except NeverBegun:
            return begin(self._connected(deadline))

    def _connected(self, deadline: Deadline) -> Opened:
        asked = time.monotonic()
        if not self._opening.acquire(timeout=deadline.remaining()):
            raise deadline.error(f"connecting to {self.name}")
        try:
            with self._lock:
                opened, closings = self._opened, self._closings
            if opened is not None and opened.usable:
                return opened
            # Who waited here while another thread failed would only fail in the same way, one after the other.
            if self._failure is not None and self._failure[0] >= asked:
                raise self._failure[1]
            deadline.check(f"connecting to {self.name}")
            if opened is not None:
                opened.retire()
            return self._keep(self._signed_in(deadline), closings)
        finally:
            self._opening.release()

    def _signed_in(self, deadline: Deadline) -> Opened:
        try:
            wire = Opening(self.endpoint, self._through).sign_in(self._ring, deadline)
        except FleetError as error:
            # That one caller had little time says nothing to the others.
            self._failure = None if isinstance(error, DeadlinePassed) else (time.monotonic(), error)
            raise
        from fleet.ssh.opened import Opened

        return Opened(self.endpoint, wire)

    def _keep(self, opened: Opened, closings: int) -> Opened:
        """Make it the connection, unless all were closed while it was being opened."""
        with self._lock:
            if self._closings == closings:
                self._opened = opened
                return opened
        opened.close()
        raise lost(self.endpoint, "it was closed while it was being opened", begun=True)
