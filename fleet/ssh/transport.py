"""What the rest of `fleet` may ask of a connection to a host: three verbs, so that another kind can take its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Literal, Protocol, Self

from fleet.ssh.command import Cmd, Result
from fleet.ssh.deadline import Deadline

Stream = Literal["out", "err"]
#: Takes output as it comes.
Sink = Callable[[Stream, bytes], None]


class Output(Protocol):
    """A running command whose stdout is read as it comes.

    Its stdin stays open until `close`, and remote commands that live long end when their stdin does: a cut connection
    leaves nothing behind.
    """

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of stdout, as they arrive. Raises Unreachable when the connection is lost, DeadlinePassed."""

    def result(self) -> Result:
        """Status and stderr (`out` is empty) once stdout has ended."""

    def close(self) -> None:
        """End the command (its stdin ends, then its channel is closed). May be called twice, and from any thread."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Transport(Protocol):
    """A verified, authenticated connection to one host, usable by several threads. Every verb raises Unreachable when
    the connection is lost and DeadlinePassed when time runs out; a remote status other than 0 is a result, no error.
    """

    @property
    def name(self) -> str:
        """The host as the user calls it."""

    def exec(self, cmd: Cmd, *, stdin: bytes = b"", deadline: Deadline, sink: Sink | None = None) -> Result:
        """Run a command and collect its output, or hand it to `sink` as it comes (then the result holds none)."""

    def stream_in(self, cmd: Cmd, chunks: Iterable[bytes], *, deadline: Deadline, sink: Sink | None = None) -> Result:
        """Run a command and feed its stdin. If the command ends early, the rest of the chunks is not sent.

        Output is collected, or handed to `sink` as it comes.
        """

    def stream_out(self, cmd: Cmd, *, deadline: Deadline) -> Output:
        """Run a command and read its stdout as it comes."""
