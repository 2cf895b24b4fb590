"""The files of a run's log: segments that only grow, each named by the logical offset of its first byte.

A dead supervisor may leave half a frame at the end. The next one closes it with a newline, so that it swallows nothing,
and continues in a further segment with the number after the last whole frame.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import NamedTuple

from fleet.remote.atomic import sync_directory
from fleet.remote.frames import (
    CONTINUED,
    END,
    FLEET,
    NEXT,
    SEGMENT_BYTES,
    WHOLE,
    Frame,
    escape,
    parse,
    segment_name,
    segment_offset,
)

#: No frame is longer: a piece whose every byte was escaped, and its head.
_LONGEST = 128 << 10


class Tail(NamedTuple):
    """Where a log ends."""

    offset: int
    """Logical offset behind its last byte."""
    seq: int
    """Number of its last whole frame, 0 if it has none."""
    flags: str | None
    """Flags of that frame."""
    text: str
    """Its text."""
    torn: bool
    """Whether a fragment follows it."""
    newest: bool
    """Whether it is in the newest segment; otherwise an attempt began behind it that has written nothing yet."""


class Segments:
    """The log of a run, open for appending at its end.

    What the disk refuses is kept in memory and written first when it can be; `blocked` says that nothing more should be
    taken from the run until then.
    """

    def __init__(self, directory: str, node: int = 0) -> None:
        """Close what an earlier supervisor left, and begin a new segment. Raises OSError."""
        self._directory, self._node = directory, node
        self._queue: list[bytes] = []
        """What was not written yet; an empty entry stands for the beginning of a further segment."""
        self._descriptor: int | None = None
        self._ended = False
        """Whether an attempt ended here: what follows goes into another segment."""
        self.problem: OSError | None = None
        """Why the disk refuses."""
        tail = find_tail(directory)
        self._seq, self._start, self._size = tail.seq, tail.offset, 0
        if tail.torn or tail.flags not in (None, END, NEXT):
            self._continue(tail)
        else:
            self._open()
        if self.problem is not None:
            raise self.problem

    @property
    def offset(self) -> int:
        """Logical offset behind the last byte that was given."""
        return self._start + self._size + sum(map(len, self._queue))

    @property
    def blocked(self) -> bool:
        """Whether the disk refuses."""
        return bool(self._queue)

    def number(self, count: int) -> int:
        """Reserve sequence numbers; returns the first."""
        first = self._seq + 1
        self._seq += count
        return first

    def append(self, frames: bytes) -> None:
        """Add whole frames, numbered by `number` in this order, beginning a new segment when this one is full."""
        if not frames:
            return
        self.begin()
        self._put(frames)
        if self._size >= SEGMENT_BYTES and not self.blocked:
            self._turn()

    def say(self, text: bytes) -> None:
        """Add a line of the supervisor's own."""
        self.append(self._frame(WHOLE, text))

    def end(self, text: bytes) -> None:
        """Add the frame that ends an attempt, and put the log on the disk."""
        self.append(self._frame(END, text))
        self._ended = True
        self._sync()

    def begin(self) -> None:
        """Open the segment of a further attempt, if `end` closed this one."""
        if self._ended:
            self._ended = False
            self._put(b"")

    def write(self) -> None:
        """Write what waits, as far as the disk takes it."""
        self.problem = None
        try:
            while self._queue:
                if self._queue[0]:
                    assert self._descriptor is not None, "a segment is open"
                    written = os.write(self._descriptor, self._queue[0])
                    self._size += written
                    self._queue[0] = self._queue[0][written:]
                else:
                    self._start, self._size = self._start + self._size, 0
                    self._open()
                if not self._queue[0]:
                    self._queue.pop(0)
        except OSError as error:
            self.problem = error

    def close(self) -> None:
        """Put everything on the disk and close."""
        self.write()
        self._sync()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _put(self, data: bytes) -> None:
        self._queue.append(data)
        self.write()

    def _frame(self, flags: str, text: bytes) -> bytes:
        now = int(time.time() * 1000)
        return Frame(self.number(1), now, self._node, None, FLEET, flags, escape(text).decode("utf-8")).line()

    def _turn(self) -> None:
        """End this segment with a frame that names the next one."""
        blank = segment_name(0).encode("ascii")
        frame = self._frame(NEXT, blank)
        following = segment_name(self.offset + len(frame)).encode("ascii")
        self._put(frame[: -len(blank) - 1] + following + b"\n")
        self._put(b"")

    def _continue(self, tail: Tail) -> None:
        """End what an earlier supervisor left open: close its fragment, and name the next segment."""
        self._start = max(_offsets(self._directory))
        self._open()
        self._size = tail.offset - self._start
        if tail.torn:
            self._put(b"\n")
            # The fragment may be a frame now: half a text is one.
            self._seq = find_tail(self._directory).seq
        self._turn()

    def _open(self) -> None:
        """Open the segment that begins at `_start`, and let go of the one before."""
        path = os.path.join(self._directory, segment_name(self._start))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        if self._descriptor is not None:
            self._sync()
            os.close(self._descriptor)
        self._descriptor = descriptor
        sync_directory(self._directory)

    def _sync(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)


def find_tail(directory: str) -> Tail:
    """Where a log ends, read backwards from its last byte. A log that does not exist ends at 0."""
    offsets = sorted(_offsets(directory), reverse=True)
    end, torn = 0, False
    for index, start in enumerate(offsets):
        size, data = _end_of(directory, start)
        if index == 0:
            end = start + size
            torn = bool(data) and not data.endswith(b"\n")
        frame = _last_frame(data)
        if frame is not None:
            return Tail(end, frame.seq, frame.flags, frame.text, torn, index == 0)
    return Tail(end, 0, None, "", torn, True)


def attempts_in(directory: str) -> int:
    """How many attempts the segments tell of: each but a live one has ended its segment. Fewer than there were, if old
    segments are gone."""
    offsets = sorted(_offsets(directory))
    last = [_last_frame(_end_of(directory, start)[1]) for start in offsets]
    ended = sum(frame is not None and frame.flags == END for frame in last)
    begun = bool(last) and (last[-1] is None or last[-1].flags != END)
    return ended + begun


def log_end(directory: str) -> tuple[int, float | None]:
    """Logical offset of a log's end, and seconds since it last grew; (0, None) for one that does not exist."""
    start = max(_offsets(directory), default=None)
    if start is None:
        return 0, None
    status = os.stat(os.path.join(directory, segment_name(start)))
    return start + status.st_size, max(0.0, time.time() - status.st_mtime)


def last_lines(directory: str, count: int) -> list[str]:
    """The last lines that the run wrote in its newest segments, escaped, oldest first."""
    lines: list[str] = []
    for start in sorted(_offsets(directory), reverse=True):
        size, data = _end_of(directory, start)
        for line in reversed(data.split(b"\n")[:-1]):
            with contextlib.suppress(ValueError):
                frame = parse(line)
                lines += [frame.text] if frame.flags in (WHOLE, CONTINUED) else []
            if len(lines) >= count:
                break
        if len(lines) >= count or size > 4 * _LONGEST:
            break
    return lines[::-1]


def _end_of(directory: str, start: int) -> tuple[int, bytes]:
    """Size of a segment, and what its last frames are in."""
    with open(os.path.join(directory, segment_name(start)), "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4 * _LONGEST))
        return size, file.read()


def _last_frame(data: bytes) -> Frame | None:
    for line in reversed(data.split(b"\n")[:-1]):
        with contextlib.suppress(ValueError):
            return parse(line)
    return None


def _offsets(directory: str) -> list[int]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [offset for offset in (segment_offset(name) for name in names) if offset is not None]
