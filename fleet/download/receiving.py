"""Takes the stream of ranges apart and writes the files, so that receiving, hashing and syncing run side by side.

The thread that reads the connection only cuts the stream into pieces. One thread hashes and writes them in order
(`hashlib` and `write` let other threads run meanwhile), a few more sync finished files, which is mostly waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from fleet.download.folder import Folder, Part
from fleet.download.listing import RemoteFile
from fleet.errors import FleetError, RemoteFailed

#: Bytes that are handed over together: a task costs about 20 us, whatever its size.
GATHER: Final = 1 << 20
#: Gathered pieces that may wait for the disk; more stop the reading, and with it the host.
WAITING: Final = 32
FINISHERS: Final = 8
#: Bytes of noise that a host may print before the first range (a greeting in a start-up file of its shell).
_NOISE: Final = 64 << 10
_HEADER: Final = b"fleet-range "
_HEADER_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes that were asked for: the rest of one file."""

    file: RemoteFile
    offset: int

    @property
    def length(self) -> int:
        """Bytes that are missing here."""
        return self.file.size - self.offset


class ShortRange(Exception):
    """The host has fewer bytes of a file than it listed."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(slots=True)
class Splitter:
    """Cuts the stream of `sender.py` into `(range, bytes)`. A range of no bytes gives one empty piece, so that every
    file that arrives is seen. Raises ShortRange, and RemoteFailed for a stream of another form.
    """

    ranges: list[Range]
    _index: int = -1
    _left: int = 0
    _buffer: bytes = b""
    _started: bool = False
    complete: bool = field(default=False, init=False)
    """Whether all ranges have arrived whole."""

    def feed(self, piece: bytes) -> Iterator[tuple[Range, memoryview]]:
        """The parts of a piece of the stream, without copying them."""
        view = memoryview(self._buffer + piece if self._buffer else piece)
        self._buffer = b""
        while view:
            if self._left:
                taken = view[: self._left]
                view = view[len(taken) :]
                self._left -= len(taken)
                yield self.ranges[self._index], taken
                self._see_end()
                continue
            text = bytes(view[:_NOISE])
            end = text.find(b"\n")
            if end < 0:
                self._keep(text)
                return
            view = view[end + 1 :]
            if self._header(text[:end]):
                if not self._left:
                    yield self.ranges[self._index], view[:0]
                self._see_end()

    def _header(self, line: bytes) -> bool:
        if not line.startswith(_HEADER):
            if self._started:
                raise malformed(f"{line[:80]!r} where a range should begin")
            return False
        words = line.split()
        if len(words) != 3 or not all(word.isdigit() and len(word) < 20 for word in words[1:]):
            raise malformed(f"{line[:80]!r}")
        index, length = int(words[1]), int(words[2])
        if index != self._index + 1 or index >= len(self.ranges):
            raise malformed(f"range {index} after range {self._index} of {len(self.ranges)}")
        wanted = self.ranges[index]
        if length != wanted.length:
            raise ShortRange(wanted.file.path)
        self._index, self._left, self._started = index, length, True
        return True

    def _keep(self, text: bytes) -> None:
        if len(text) >= (_HEADER_LIMIT if self._started else _NOISE):
            raise malformed(f"{text[:80]!r} without an end of line")
        self._buffer = text

    def _see_end(self) -> None:
        self.complete = not self._left and self._index + 1 == len(self.ranges)


class Receiver:
    """Writes what arrives. A context manager; leaving it waits until everything received is written."""

    def __init__(self, folder: Folder, received: Callable[[str, int], None]) -> None:
        """`received` is told, in the thread that calls `take`, a path and how many bytes of it came."""
        self._folder, self._received = folder, received
        self._writing = ThreadPoolExecutor(1, "download-write")
        self._finishing = ThreadPoolExecutor(FINISHERS, "download-sync")
        self._waiting: deque[Future[None]] = deque()
        self._finished: list[Future[None]] = []
        self._gathered: list[memoryview] = []
        self._size = 0
        self._current: Range | None = None
        self._part: Part | None = None
        self._left = 0
        self._broken = False
        self.ended: set[str] = set()
        """Paths of the files that are in place, or did not verify."""
        self.failures: list[FleetError] = []
        """Why files did not verify, in the order of their ends."""

    def take(self, stream: Iterable[tuple[Range, memoryview]]) -> None:
        """Take pieces of ranges; they may come in any number of calls. Raises Busy if another download writes one of
        these files."""
        for wanted, piece in stream:
            if wanted is not self._current:
                self._current, self._left = wanted, wanted.length
                self._part = self._folder.part(wanted.file, wanted.offset)
            self._gathered.append(piece)
            self._size += len(piece)
            self._left -= len(piece)
            self._received(wanted.file.path, len(piece))
            if not self._left or self._size >= GATHER:
                self._hand_over()

    def _hand_over(self) -> None:
        """Give what was gathered to the writing thread; waits when it is far behind. Raises what failed there."""
        if self._part is None or not self._gathered:
            return
        part, pieces, last = self._part, self._gathered, not self._left
        if last:
            self._part = None
        self._gathered, self._size = [], 0
        self._waiting.append(self._writing.submit(self._write, part, pieces, last))
        while len(self._waiting) > WAITING:
            self._waiting.popleft().result()

    def _write(self, part: Part, pieces: list[memoryview], last: bool) -> None:
        if self._broken:
            # What comes behind a hole would only have to be thrown away.
            part.close()
            return
        try:
            part.append(pieces)
        except OSError:
            self._broken = True
            part.close()
            raise
        if last:
            self._finished.append(self._finishing.submit(self._finish, part))

    def _finish(self, part: Part) -> None:
        try:
            part.finish()
        except FleetError as error:
            self.failures.append(error)
        finally:
            part.close()
        self.ended.add(part.file.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._hand_over()
            for future in self._waiting:
                future.result()
        finally:
            self._writing.shutdown()
            self._finishing.shutdown()
            if self._part is not None:
                self._part.close()
        for future in self._finished:
            future.result()


def malformed(problem: str) -> RemoteFailed:
    """The error for a stream of ranges that is none."""
    return RemoteFailed(
        f"the host sent {problem}",
        why="the files of a run come as ranges, each with a line that says how long it is",
        fix="see what the host's shell prints when a command is run without a terminal; it must print nothing",
        example="fleet run lab-a -- true",
    )
