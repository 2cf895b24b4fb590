"""A transport whose streams break off after a given number of bytes, in the ways in which real connections do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Literal, Self

from fleet.errors import Unreachable
from fleet.ssh import Cmd, Deadline, Output, Result, Sink, Transport

Mode = Literal["close", "rst", "hole"]


def lost(name: str) -> Unreachable:
    """The error of a transport whose connection is gone."""
    return Unreachable(
        f"{name}: the connection was lost", why="the test cut it", fix="connect again", example=f"fleet status {name}"
    )


class CuttingTransport:
    """Passes everything to another transport, and cuts each stream out after the next of the `cuts`.

    A cut is a number of bytes and a mode: `close` ends the stream as if the command had been ended, `rst` raises
    Unreachable at once, `hole` swallows what comes until `hole_seconds` later a watchdog would notice. When the cuts
    are used up, streams run to their end. `sent` counts the bytes that passed.
    """

    def __init__(self, inner: Transport, cuts: Iterable[tuple[int, Mode]], hole_seconds: float = 0.05) -> None:
        self.name = inner.name
        self._inner, self._cuts, self._hole_seconds = inner, iter(cuts), hole_seconds
        self.sent = 0
        self.streams = 0
        self.cut = 0

    def exec(self, cmd: Cmd, *, stdin: bytes = b"", deadline: Deadline, sink: Sink | None = None) -> Result:
        return self._inner.exec(cmd, stdin=stdin, deadline=deadline, sink=sink)

    def stream_in(self, cmd: Cmd, chunks: Iterable[bytes], *, deadline: Deadline) -> Result:
        return self._inner.stream_in(cmd, chunks, deadline=deadline)

    def stream_out(self, cmd: Cmd, *, deadline: Deadline) -> Output:
        self.streams += 1
        return CutOutput(self, self._inner.stream_out(cmd, deadline=deadline), next(self._cuts, None))

    def wait_hole(self, closed: threading.Event) -> None:
        """Stay silent until the watchdog would notice, or the reader gives up."""
        closed.wait(self._hole_seconds)


class CutOutput:
    """A stream that breaks off."""

    def __init__(self, transport: CuttingTransport, inner: Output, cut: tuple[int, Mode] | None) -> None:
        self._transport, self._inner, self._cut = transport, inner, cut
        self._closed = threading.Event()
        self._ended_early = False

    def __iter__(self) -> Iterator[bytes]:
        left, mode = self._cut or (None, "rst")
        pieces = iter(self._inner)
        for piece in pieces:
            part = piece if left is None else piece[:left]
            self._transport.sent += len(part)
            if part:
                yield part
            if left is None:
                continue
            left -= len(part)
            if not left:
                self._transport.cut += 1
                self._end(pieces)
                if mode == "close":
                    self._ended_early = True
                    return
                if mode == "hole":
                    self._transport.wait_hole(self._closed)
                raise lost(self._transport.name)

    def _end(self, pieces: Iterator[bytes]) -> None:
        """End the command, taking what it still writes: as one whose reader is gone it may be stuck in that."""
        closer = threading.Thread(target=self._inner.close)
        closer.start()
        with contextlib.suppress(Unreachable):
            for _ in pieces:
                continue
        closer.join()

    def result(self) -> Result:
        return Result(255) if self._ended_early else self._inner.result()

    def close(self) -> None:
        self._closed.set()
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
