"""The agent's command `tail`: the last lines of a run's log, found by reading backwards.

However long the log is, only as much of its end is read as is needed; a filter that matches rarely reads further back,
until the budget of seconds is spent, and then the answer says so.
"""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any, Dict, Iterator

from fleet.remote.fields import Fields
from fleet.remote.frames import CONTINUED, WHOLE, Frame, parse, segment_offset
from fleet.remote.places import DeployDir
from fleet.remote.refusal import answered, usage

Answer = Dict[str, Any]
#: Frames in one answer.
COUNT_LIMIT = 1_000_000
#: Bytes of frames in one answer.
ANSWER_BYTES = 32 << 20
#: Bytes of the longest line that can be a frame; what is longer was not written by a supervisor.
LINE_BYTES = 1 << 20
BLOCK = 1 << 16
#: Seconds that no log is old.
EVER = 1e10


def main(request: Answer) -> tuple[Answer, int]:
    """Answer `{"deploy_dir", "run", "count", "rank"?, "grep"?, "since_seconds"?, "budget"?}`.

    `count` is how many frames are wanted at most, `since_seconds` their greatest age on this host's clock, `budget` the
    seconds to spend. The answer holds `frames`, oldest first, each `[offset behind it, line]`; `cursor`, the offset
    behind the last whole line of the log, where following goes on; and `complete`: whether nothing that was asked for
    is missing because the budget or the size of an answer ended the search.
    """
    return answered(_tail, request)


def _tail(request: Answer) -> Answer:
    fields = Fields(request, "tail")
    folder = DeployDir.at(fields.text("deploy_dir")).existing_run(fields.text("run")).log
    count = fields.whole("count", 0, COUNT_LIMIT)
    wanted = _Wanted(fields)
    budget = fields.seconds("budget", 20.0)
    fields.finish()
    # A pattern can take for ever on one line; the kernel's own clock ends that.
    signal.alarm(int(budget) + 10)
    end = time.monotonic() + budget
    found: list[tuple[int, str]] = []
    cursor, size, complete = _start(folder), 0, True
    for offset, line in _lines(folder):
        cursor = max(cursor, offset)
        if len(found) >= count:
            break
        if size >= ANSWER_BYTES or time.monotonic() > end:
            complete = False
            break
        try:
            frame = parse(line)
        except ValueError:
            continue
        if wanted.is_too_old(frame):
            break
        if wanted.takes(frame):
            found.append((offset, line.decode("utf-8")))
            size += len(line)
    found.reverse()
    return {"frames": found, "cursor": cursor, "complete": complete}


class _Wanted:
    """Which frames are asked for."""

    def __init__(self, fields: Fields) -> None:
        self._rank = fields.whole("rank", -1, 1 << 30, -1)
        pattern = fields.optional("grep")
        self._oldest_ms = (time.time() - fields.seconds("since_seconds", EVER)) * 1000
        try:
            self._pattern = None if pattern is None else re.compile(pattern)
        except re.error as error:
            raise usage(
                f"{pattern!r} is no regular expression: {error}",
                why="lines are selected by Python's regular expressions",
                fix="escape characters that mean something in one, such as ( [ + ?",
                example="fleet logs lab-a --grep 'loss=[0-9.]+'",
            ) from error

    def is_too_old(self, frame: Frame) -> bool:
        """Whether this and all earlier ones are older than asked for."""
        return frame.time_ms < self._oldest_ms

    def takes(self, frame: Frame) -> bool:
        """Whether it is a line of the run (or a piece of one) that passes."""
        if frame.flags not in (WHOLE, CONTINUED) or (self._rank >= 0 and frame.rank != self._rank):
            return False
        return self._pattern is None or bool(self._pattern.search(frame.content().decode("utf-8", "replace")))


def _segments(folder: str) -> list[tuple[int, str]]:
    """Offset and path of each segment, oldest first."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    pairs = [(segment_offset(name), name) for name in names]
    return sorted((offset, os.path.join(folder, name)) for offset, name in pairs if offset is not None)


def _start(folder: str) -> int:
    """Offset of the newest segment's first byte."""
    segments = _segments(folder)
    return segments[-1][0] if segments else 0


def _lines(folder: str) -> Iterator[tuple[int, bytes]]:
    """The whole lines of the log, last first, without newlines, and the logical offset behind each."""
    for start, path in reversed(_segments(folder)):
        for offset, line in backwards(path):
            yield start + offset, line


def backwards(path: str) -> Iterator[tuple[int, bytes]]:
    """The whole lines of a file, last first, without newlines, and the offset behind each.

    What follows the last newline is no line yet. Of a line longer than any frame only the end is given.
    """
    with open(path, "rb") as file:
        position = file.seek(0, os.SEEK_END)
        end, held = -1, 0
        parts: list[bytes] = []
        while position:
            size = min(BLOCK, position)
            position -= size
            file.seek(position)
            pieces = file.read(size).split(b"\n")
            newline = position + size
            for piece in reversed(pieces[1:]):
                newline -= len(piece) + 1
                if end >= 0:
                    yield end, b"".join(reversed([*parts, piece]))
                end, parts, held = newline + 1, [], 0
            if held < LINE_BYTES:
                parts.append(pieces[0])
                held += len(pieces[0])
        if end >= 0:
            yield end, b"".join(reversed(parts))
