"""The files a corpus names: patterns to paths, and paths to digests of their content."""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from hydra.data.locking import exclusive, writing
from hydra.errors import DataError
from hydra.runs import write_json

logger = logging.getLogger(__name__)

#: Files from this size on are hashed once and then known by their metadata.
LARGE = 16 << 20
#: A file changed more recently than this could change again without its time stamp moving.
SETTLED_SECONDS = 2.0


def expand(patterns: Sequence[str]) -> tuple[Path, ...]:
    """The files that names and glob patterns stand for: patterns in the order given, matches sorted within each.

    Raises DataError for a file that does not exist, a pattern that matches nothing, a folder, and a file named twice.
    """
    found: list[Path] = []
    for pattern in patterns:
        if Path(pattern).exists():
            found.append(Path(pattern))
            continue
        matches = [Path(name) for name in sorted(glob.glob(pattern, recursive=True)) if not Path(name).is_dir()]
        if not matches:
            raise _missing(pattern)
        found += matches
    seen: set[Path] = set()
    for path in found:
        if path.is_dir():
            raise _refused(f"{path} is a folder", "a corpus names files", f"{path}/**/*.txt")
        if path.resolve() in seen:
            raise _refused(f"{path} is named twice", "it would be trained on twice", "data/a-*.txt")
        seen.add(path.resolve())
    return tuple(found)


class FileDigests:
    """SHA-256 of files, remembered for large ones so that a second start does not read a terabyte again.

    A remembered digest is used only while device, inode, size and both time stamps of the file are what they were;
    the change time cannot be set by hand, so a file cannot be edited unnoticed. `folder` holds `file-digests.json`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "file-digests.json"

    def digest(self, path: Path, *, tail: int = 0) -> str:
        """Hex SHA-256 of a file's bytes, the last `tail` bytes left out. Raises DataError if it cannot be read."""
        try:
            before = _identity(path)
            length = before[2] - tail
            if length < LARGE:
                return _sha256(path, length)
            name = f"{path.resolve()}|{tail}"
            known = self._remembered().get(name)
            if known is not None and known[:-1] == before:
                return str(known[-1])
            logger.info("reading %s (%.2f GB) for its digest", path, length / 1e9)
            computed = _sha256(path, length)
            settled = _identity(path) == before and time.time_ns() - max(before[3:]) > SETTLED_SECONDS * 1e9
        except OSError as error:
            raise _unreadable(path, error) from error
        if settled:
            self._remember(name, [*before, computed])
        return computed

    def _remembered(self) -> dict[str, list[object]]:
        if not self._path.exists():
            return {}
        try:
            return dict(json.loads(self._path.read_bytes()))
        except ValueError as error:
            raise DataError(
                f"{self._path} is not JSON: {error}",
                why="it is only ever replaced as a whole, so it was edited or damaged from outside",
                fix="remove it; digests are then computed again",
                example=f"rm {self._path}",
            ) from error

    def _remember(self, name: str, entry: list[object]) -> None:
        if self._folder.exists() and not os.access(self._folder, os.W_OK):
            logger.info("%s is read-only: the digest is computed again at the next start", self._folder)
            return
        with writing(self._path), exclusive(self._folder / ".locks" / "file-digests", "noting a digest"):
            write_json(self._path, {**self._remembered(), name: entry})


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _sha256(path: Path, length: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(min(length, 1 << 20)):
            digest.update(block)
            length -= len(block)
    return digest.hexdigest()


def _missing(pattern: str) -> DataError:
    return DataError(
        f"no file is named, or matches, '{pattern}'",
        why=f"names are relative to the working directory, here {Path.cwd()}",
        fix="correct the name, or start from the folder it is relative to",
        example="files: [data/*.txt]",
    )


def _refused(what: str, why: str, example: str) -> DataError:
    return DataError(what, why=why, fix="name each file once, by its own name or one pattern", example=example)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot read {path}: {error.strerror or error}",
        why="every file of a corpus is read whole; none is skipped",
        fix="check that it exists and that you may read it",
        example=f"ls -l {path}",
    )
