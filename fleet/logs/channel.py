"""One stream of a growing file from its host, read with a time limit: silence is when a follower has to think."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import TracebackType
from typing import Final, Literal, Self

from fleet.errors import FleetError, RemoteFailed, Unreachable
from fleet.ssh import Cmd, Deadline, Output, Transport

Kind = Literal["log", "file"]
#: Seconds after which the host ends a stream whatever happens, so that nothing stays behind for ever.
HOST_LIMIT: Final = 3600
#: Pieces that wait for their reader; more stop the connection, and with it the host's reading.
WAITING: Final = 64
#: Bytes of noise that a host may print first (a greeting in a start-up file of its shell).
_NOISE: Final = 64 << 10
_MARK: Final = b"fleet-follow "

#: What the exit status of follow.sh says beyond success.
COMPLETE, GONE, NOTHING_YET, BEYOND, NO_PYTHON = 65, 66, 67, 68, 78


@dataclass(frozen=True, slots=True)
class Place:
    """What to read: the folder of a log's segments, or one file, on the host."""

    kind: Kind
    path: str
    python: str = "python3"

    def command(self, cursor: int, seconds: int) -> Cmd:
        """The command that sends it from a position on; 0 seconds: what is there and no more; -1: only what it is."""
        return Cmd.script("follow.sh", self.kind, self.path, str(cursor), str(seconds), self.python, _follower())


@dataclass(frozen=True, slots=True)
class Opened:
    """What the host opened."""

    start: int
    """Logical offset of the first byte of the segment."""
    size: int
    """Bytes of the segment at that moment."""
    following: int | None
    """Offset of the segment behind it, if there is one: then this one is complete."""

    @property
    def end(self) -> int:
        """Offset behind the last byte that was there."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Status:
    """How a stream ended."""

    code: int
    words: str
    """What it said on stderr."""


class Channel:
    """A running follow.sh. A context manager; a thread of its own reads the connection."""

    def __init__(self, transport: Transport, place: Place, cursor: int, deadline: Deadline, *, rest: bool) -> None:
        """`rest`: send what is there and end, instead of waiting for more. Raises Unreachable."""
        self.name = transport.name
        command = place.command(cursor, 0 if rest else HOST_LIMIT)
        self._output: Output = transport.stream_out(command, deadline=deadline)
        self._pieces: queue.Queue[bytes | Status | FleetError] = queue.Queue(WAITING)
        self._closed = threading.Event()
        self._head = b""
        self.opened: Opened | None = None
        """What the host says it opened; None until that arrives."""
        self._thread = threading.Thread(target=self._pump, name=f"follow-{self.name}", daemon=True)
        self._thread.start()

    def read(self, seconds: float) -> bytes | Status | None:
        """The next bytes, how the stream ended, or None after so many seconds of silence.

        The first line, which says what was opened, is taken out and kept in `opened`; empty bytes may come with it.
        Raises Unreachable, DeadlinePassed, and RemoteFailed for a stream without that line.
        """
        try:
            item = self._pieces.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(item, FleetError):
            raise item
        if isinstance(item, Status) or self.opened is not None:
            return item
        return self._without_head(item)

    def close(self) -> None:
        """End the stream. May be called twice."""
        self._closed.set()
        self._output.close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pump(self) -> None:
        last: Status | FleetError
        try:
            for piece in self._output:
                if not self._put(piece):
                    return
            result = self._output.result()
            last = Status(result.rc, _words(result.err))
        except FleetError as error:
            last = error
        self._put(last)

    def _put(self, item: bytes | Status | FleetError) -> bool:
        """Hand over an item unless the reader has gone."""
        while not self._closed.is_set():
            try:
                self._pieces.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _without_head(self, piece: bytes) -> bytes:
        self._head += piece
        while b"\n" in self._head:
            line, _, self._head = self._head.partition(b"\n")
            if line.startswith(_MARK):
                self.opened = _opened(line, self.name)
                rest, self._head = self._head, b""
                return rest
        if len(self._head) > _NOISE:
            raise _malformed(self._head, self.name)
        return b""


def look(transport: Transport, place: Place, cursor: int, deadline: Deadline) -> Opened | Status:
    """What the host has at a position, or how the question ended. Raises Unreachable, DeadlinePassed."""
    result = transport.exec(place.command(cursor, -1), deadline=deadline)
    for line in result.out.splitlines():
        if line.startswith(_MARK):
            return _opened(line, transport.name)
    return Status(result.rc, _words(result.err))


def lost(name: str, status: Status) -> Unreachable:
    """The error for a stream that ended although nobody asked it to."""
    return Unreachable(
        f"{name} ended the stream early (status {status.code}): {status.words or 'it said nothing'}",
        why="its reader was stopped, or the connection was closed in order",
        fix="nothing needs to be done: following goes on behind the last whole line",
        example=f"fleet logs {name} -f",
        host=name,
    )


def _opened(line: bytes, name: str) -> Opened:
    words = line.decode("ascii", "replace").split()[1:]
    sound = len(words) == 3 and all(len(word) < 20 and word.isdecimal() for word in words[:2])
    if not sound or not (words[2] == "-" or (len(words[2]) < 20 and words[2].isdecimal())):
        raise _malformed(line, name)
    return Opened(int(words[0]), int(words[1]), None if words[2] == "-" else int(words[2]))


def _words(err: bytes) -> str:
    return " | ".join(err.decode("utf-8", "replace").strip().splitlines()[-3:])


def _malformed(text: bytes, name: str) -> RemoteFailed:
    return RemoteFailed(
        f"{name} sent {text[:80]!r} where a log should begin",
        why="the log is preceded by a line that says what was opened",
        fix="see what the host's shell prints when a command is run without a terminal; it must print nothing",
        example=f"fleet run {name} -- true",
        host=name,
    )


@cache
def _follower() -> str:
    return (files("fleet.remote") / "follower.py").read_text(encoding="utf-8")
