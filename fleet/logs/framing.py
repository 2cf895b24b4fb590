"""Makes records from the bytes of a log as they come, in pieces of any size, and knows the position behind each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from fleet.logs.records import Gap, Line, Record, Row, Torn
from fleet.remote.frames import parse

#: Bytes without a newline that are held; more are passed over, so that no host can fill the memory.
LINE_LIMIT: Final = 16 << 20


class RowFramer:
    """Lines of a file that only grows. `cursor` is the byte offset behind the last whole one."""

    def __init__(self, cursor: int) -> None:
        self.cursor = cursor
        self._rest: list[bytes] = []
        self._held = 0
        self._dropped = 0
        self._whole: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Record]:
        """The records that a piece completes, in order; `cursor` moves with each."""
        cut = piece.rfind(b"\n") + 1
        if not cut:
            self._hold(piece)
            return
        data = b"".join([*self._rest, piece[:cut]])
        self._rest, self._held = [], 0
        if self._dropped:
            yield self._overlong(data)
            data = data[data.index(b"\n") + 1 :]
        self._whole.append(data)
        for line in data.split(b"\n")[:-1]:
            self.cursor += len(line) + 1
            yield from self._records(line)
        self._hold(piece[cut:])

    @property
    def position(self) -> int:
        """Offset behind the last byte that was fed."""
        return self.cursor + self._dropped + self._held

    def kept(self) -> bytes:
        """The bytes of whole lines since the last call; they end at `cursor`."""
        data, self._whole = b"".join(self._whole), []
        return data

    def forget(self) -> bytes:
        """Drop the beginning of a line that has not ended, because it will come again; returns it."""
        data, self._rest, self._held, self._dropped = b"".join(self._rest), [], 0, 0
        return data

    def _records(self, line: bytes) -> Iterator[Record]:
        yield Row(line, self.cursor)

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._rest.append(piece)
            self._held += len(piece)
        if self._held > LINE_LIMIT:
            self._dropped += self._held
            self._rest, self._held = [], 0

    def _overlong(self, data: bytes) -> Torn:
        """Pass over a line whose beginning was not held; what follows it continues no earlier bytes."""
        self.cursor += self._dropped + data.index(b"\n") + 1
        self._dropped, self._whole = 0, []
        return Torn(b"", self.cursor)


class FrameFramer(RowFramer):
    """Frames of a log, whose numbers prove that none is missing. `cursor` counts over all segments."""

    def __init__(self, cursor: int) -> None:
        super().__init__(cursor)
        self._seq: int | None = None

    def _records(self, line: bytes) -> Iterator[Record]:
        try:
            frame = parse(line)
        except ValueError:
            yield Torn(line, self.cursor)
            return
        if self._seq is not None and frame.seq != self._seq + 1:
            yield Gap(self._seq + 1, frame.seq, self.cursor)
        self._seq = frame.seq
        yield Line(frame, self.cursor)


def records_of(pieces: Iterable[tuple[int, bytes]]) -> Iterator[Record]:
    """The records in bytes of a log that were kept, given as `(offset, bytes)` in order.

    Where pieces do not follow each other, a Gap says so as soon as the next frame shows it.
    """
    framer = FrameFramer(0)
    for offset, data in pieces:
        if offset != framer.position:
            framer.forget()
            framer.cursor = offset
        yield from framer.feed(data)
        framer.kept()
