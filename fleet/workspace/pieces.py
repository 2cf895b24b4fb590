"""A file of pieces of a log, each with its position before and after it, so that both ends tell where they are.

The stored bytes of a piece may be fewer or more than those it stands for, because secrets were taken out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEADER = 20 + 1 + 10 + 1 + 10 + 1
_HEADER_FORM = re.compile(rb"([0-9]{20}) ([0-9]{10}) ([0-9]{10})\n")


@dataclass(frozen=True, slots=True)
class PieceFile:
    """One file: pieces that follow each other, from position `start` to `end` of the log; its own size in bytes."""

    path: Path
    start: int
    end: int
    size: int


def encoded(start: int, length: int, data: bytes) -> bytes:
    """A piece as it is stored: `data` stands for `length` bytes of the log from `start` on."""
    header = b"%020d %010d %010d\n" % (start, length, len(data))
    return header + data + header


def opened(path: Path) -> PieceFile:
    """What a file holds. A torn end, left by a process that died while writing, is cut off. Raises OSError."""
    start, size = int(path.stem), path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _HEADER))
        last = _header(file.read(_HEADER))
        whole = last is not None and size >= 2 * _HEADER + last[2]
        if size == 0 or (whole and last is not None):
            return PieceFile(path, start, last[0] + last[1] if last is not None else start, size)
    end, size = start, 0
    for position, length, data in pieces(path):
        end, size = position + length, size + 2 * _HEADER + len(data)
    os.truncate(path, size)
    return PieceFile(path, start, end, size)


def pieces(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Position, length in the log and stored bytes of each whole piece, in order. Raises OSError."""
    with path.open("rb") as file:
        while (header := file.read(_HEADER)) and (found := _header(header)) is not None:
            data = file.read(found[2])
            if file.read(_HEADER) != header:
                return
            yield found[0], found[1], data


def _header(text: bytes) -> tuple[int, int, int] | None:
    found = _HEADER_FORM.fullmatch(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found is not None else None
