"""Reading append-only files while they grow: a byte position, whole lines only, nothing twice, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra.errors import RunError
from hydra.runs.encoding import decode

#: Bytes that one poll reads at most (more only to finish a line), so a first look at a long run stays small.
POLL_BYTES = 1 << 24
_BLOCK = 1 << 16


class LineReader:
    """Gives the lines of a growing file as they become whole.

    `cursor` is the byte offset behind the last line given: kept somewhere, it continues there in another process, as
    if there had been no interruption. A file that does not exist yet has no lines yet.
    """

    def __init__(self, path: Path, cursor: int = 0, *, limit: int = POLL_BYTES) -> None:
        self.path, self.cursor, self._limit = path, cursor, limit

    def poll(self) -> list[bytes]:
        """The next whole lines, without newlines; empty when there are none now.

        Raises RunError if the file is shorter than the cursor: it was replaced or cut, and the cursor means nothing.
        """
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.cursor:
                    raise _shrunk(self.path, size, self.cursor)
                file.seek(self.cursor)
                data = file.read(self._limit)
                while b"\n" not in data and (more := file.read(self._limit)):
                    data += more
        except FileNotFoundError:
            if self.cursor:
                raise _shrunk(self.path, 0, self.cursor) from None
            return []
        whole = data.rfind(b"\n") + 1
        self.cursor += whole
        return data[:whole].split(b"\n")[:-1]


class JsonReader:
    """The JSON objects of a growing file of lines. Lines that are none are skipped and counted in `skipped`."""

    def __init__(self, path: Path, cursor: int = 0, *, numbers: bool = True, limit: int = POLL_BYTES) -> None:
        self._lines = LineReader(path, cursor, limit=limit)
        self._numbers = numbers
        self.skipped = 0

    @property
    def cursor(self) -> int:
        """Byte offset behind the last line read."""
        return self._lines.cursor

    def poll(self) -> list[dict[str, Any]]:
        """The next objects. An empty list means: nothing new now (a poll goes on past lines that do not parse)."""
        while lines := self._lines.poll():
            rows = [row for row in (parse_object(line, numbers=self._numbers) for line in lines) if row is not None]
            self.skipped += len(lines) - len(rows)
            if rows:
                return rows
        return []

    def drain(self) -> list[dict[str, Any]]:
        """All objects up to the present end of the file."""
        rows: list[dict[str, Any]] = []
        while batch := self.poll():
            rows.extend(batch)
        return rows


def parse_object(line: bytes, *, numbers: bool = True) -> dict[str, Any] | None:
    """The JSON object of one line, or None if it is not one."""
    try:
        value = decode(line, numbers=numbers)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def last_lines(path: Path, count: int) -> list[bytes]:
    """The last whole lines of a file, oldest first, read backwards; none if it does not exist."""
    try:
        with path.open("rb") as file:
            start = file.seek(0, os.SEEK_END)
            data = b""
            while start and data.count(b"\n") <= count:
                step = min(_BLOCK, start)
                start -= step
                file.seek(start)
                data = file.read(step) + data
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].split(b"\n")[:-1][-count:]


def _shrunk(path: Path, size: int, cursor: int) -> RunError:
    return RunError(
        f"{path} has {size} bytes, fewer than the {cursor} already read",
        why="files of lines only ever grow, so this one was cut or replaced and the position in it means nothing",
        fix="read it again from the start",
        example="LineReader(path, cursor=0)",
    )
