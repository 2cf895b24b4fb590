"""What was followed of the logs of runs, so that it can be read again with the host down.

One folder per host and run, in it files that each hold a stretch of the log without gaps. Several processes may follow
the same run: what is there already is not kept twice. All files together stay below a limit; the oldest go first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fleet.errors import Usage
from fleet.workspace.files import FILE_MODE, make_folder
from fleet.workspace.pieces import PieceFile, encoded, opened, pieces

#: Bytes of all logs together.
LIMIT = 256 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
#: A file is full at this share of the limit, so that making room loses little at a time.
_SHARES = 16


class LogCache:
    """Logs by host and run. Threads may share it."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        """`limit` is in bytes, for all logs in the folder."""
        self._folder, self._limit = folder, limit
        self._guard = threading.Lock()
        self._known: dict[Path, dict[str, PieceFile]] = {}
        self._unchecked = limit  # bytes written since the limit was last looked at
        self.failure: str | None = None
        """Why nothing is kept any more: a disk that refuses must not end the following."""

    def append(
        self, host: str, run: str, cursor: int, data: bytes, redact: Callable[[bytes], bytes] | None = None
    ) -> None:
        """Keep `data`, which begins at byte `cursor` of the log; what is there already is left out.

        `redact` takes secrets out of what is stored; positions go on counting the bytes of the log itself.
        """
        folder = self._of(host, run)
        if self.failure is not None or not data:
            return
        try:
            with self._guard, _locked(folder):
                self._keep(folder, cursor, data, redact)
            if self._unchecked >= self._limit // _SHARES:
                self._make_room()
        except OSError as error:
            self.failure = f"{folder}: {error.strerror or error}"

    def read(self, host: str, run: str, cursor: int = 0) -> Iterator[tuple[int, bytes]]:
        """Position and bytes of every piece that ends after `cursor`, in order; nothing for a run never followed."""
        folder = self._of(host, run)
        for path in sorted(folder.glob("*.log")):
            # Another process may be making room; what it removes is a gap like any other.
            with contextlib.suppress(FileNotFoundError):
                yield from ((start, data) for start, length, data in pieces(path) if start + length > cursor)

    def _of(self, host: str, run: str) -> Path:
        for name in (host, run):
            if not _NAME.fullmatch(name):
                raise Usage(
                    f"{name!r} cannot be the name of a host or run",
                    why="names are made of a-z, 0-9 and -",
                    fix="give the name as fleet runs prints it",
                    example="fleet runs lab-a",
                )
        return self._folder / host / run

    def _keep(self, folder: Path, cursor: int, data: bytes, redact: Callable[[bytes], bytes] | None) -> None:
        for start, piece in _absent(self._files(folder), cursor, data):
            stored = encoded(start, len(piece), redact(piece) if redact is not None else piece)
            files = self._files(folder)
            full = self._limit // _SHARES
            place = next((file for file in files.values() if file.end == start and file.size < full), None)
            if place is None:
                place = PieceFile(folder / f"{start:020d}.log", start, start, 0)
            _append(place.path, stored)
            files[place.path.name] = replace(place, end=start + len(piece), size=place.size + len(stored))
            self._unchecked += len(stored)

    def _files(self, folder: Path) -> dict[str, PieceFile]:
        """The files of a run; read again only when another process made, removed or wrote one."""
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(".log")}
        known = self._known.setdefault(folder, {})
        if sizes != {name: file.size for name, file in known.items()}:
            known = self._known[folder] = {name: opened(folder / name) for name in sizes}
        return known

    def _make_room(self) -> None:
        found = sorted(entry for folder in self._folder.glob("*/*") for entry in _entries(folder))
        total = sum(size for _, size, _ in found)
        for _, size, path in found:
            if total <= self._limit:
                break
            with _locked(path.parent):
                path.unlink(missing_ok=True)
            total -= size
        self._unchecked = 0


def _entries(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Time of the last change, size and path of every file of a run, as far as no other process removes it now."""
    for path in folder.glob("*.log"):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            yield found.st_mtime_ns, found.st_size, path


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError("the disk took only a part")
    finally:
        os.close(descriptor)


def _absent(files: Mapping[str, PieceFile], cursor: int, data: bytes) -> list[tuple[int, bytes]]:
    """The parts of the data that no file has, each with its position."""
    parts, at, end = [], cursor, cursor + len(data)
    for file in sorted(files.values(), key=lambda file: file.start):
        if file.end <= at or file.start >= end:
            continue
        if file.start > at:
            parts.append((at, data[at - cursor : file.start - cursor]))
        at = max(at, file.end)
    if at < end:
        parts.append((at, data[at - cursor :]))
    return parts


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Hold the run's lock, which keeps other processes from writing to its files."""
    for path in (folder.parent.parent, folder.parent, folder):
        make_folder(path)
    descriptor = os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
