"""The files of a work tree as they lie on the disk: their entries, and their contents when they are sent."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fleet.release import ignore
from fleet.release.entry import Entry
from fleet.release.hashing import hash_files
from fleet.release.listing import Listing
from fleet.release.refusals import bad_path, changed, unreadable
from fleet.release.sources import Read, Row, link
from fleet.release.statcache import StatCache, stamp_of

_BLOCK: Final = 1 << 20


class WorkTree:
    """Reads files below a folder, and notices when one is no longer what was looked at."""

    def __init__(self, root: Path) -> None:
        self._root, self._prefix = root, os.fsencode(root) + b"/"

    def rows(self, cache: StatCache) -> tuple[list[Row], list[str]]:
        """What is to be sent, in no order, and warnings. Raises Usage for what cannot be."""
        listing = Listing(self._root)
        # While git works, look at the files that will most probably be listed.
        glanced = {path: status for path in cache.names if (status := self._glance(path)) is not None}
        found = self._look(listing.paths(), listing, glanced)
        ignored = ignore.ignored(found.keys(), self._root)
        files = {path: status for path, status in found.items() if path not in ignored}
        return self._entries(files, cache), listing.warnings

    def _look(
        self, paths: list[bytes], listing: Listing, glanced: dict[bytes, os.stat_result]
    ) -> dict[bytes, os.stat_result]:
        """The status of everything listed. What is gone is left out: git also lists files that were deleted."""
        found = {}
        isdir = stat.S_ISDIR
        repositories = []
        for path in paths:
            status = glanced.get(path) or self._status(path)
            if status is None:
                continue
            if isdir(status.st_mode):
                repositories.append(path)
            else:
                found[path] = status
        for path in repositories:
            found |= self._look(listing.inside(path, known=found), listing, {})
        return found

    def _glance(self, path: bytes) -> os.stat_result | None:
        """The status of a path, or None if it cannot be had."""
        try:
            return os.lstat(self._prefix + path)
        except OSError:
            return None

    def _status(self, path: bytes) -> os.stat_result | None:
        """The status of a path, or None if it is gone. Raises Usage if it cannot be had."""
        try:
            return os.lstat(self._prefix + path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(path, error) from error

    def _entries(self, files: dict[bytes, os.stat_result], cache: StatCache) -> list[Row]:
        rows = []
        unknown = []
        for path, status in files.items():
            mode = status.st_mode
            if stat.S_ISREG(mode):
                stamp = stamp_of(status)
                value = cache.get(path, stamp)
                if value is None:
                    unknown.append(path)
                else:
                    rows.append((_file(path, mode, stamp, value), value))
            elif stat.S_ISLNK(mode):
                rows.append((link(path, os.readlink(self._prefix + path)), b""))
            else:
                raise bad_path(path, "is neither a file nor a symbolic link")
        total = sum(files[path].st_size for path in unknown)
        for path, (value, stamp, lasting) in zip(unknown, hash_files(self._prefix, unknown, total), strict=True):
            if lasting:
                cache.put(path, stamp, value)
            rows.append((_file(path, files[path].st_mode, stamp, value), value))
        return rows

    @contextmanager
    def reading(self) -> Iterator[Read]:
        """A function that gives the content of an entry, piece by piece."""
        yield self._read

    def _read(self, entry: Entry) -> Iterator[bytes]:
        try:
            descriptor = os.open(self._prefix + entry.path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise changed(entry.path) from error
        try:
            if stamp_of(os.fstat(descriptor)) != entry.stamp:
                raise changed(entry.path)
            left = entry.size
            while left:
                piece = os.read(descriptor, min(left, _BLOCK))
                if not piece:
                    raise changed(entry.path)
                left -= len(piece)
                yield piece
            if stamp_of(os.fstat(descriptor)) != entry.stamp:
                raise changed(entry.path)
        except OSError as error:
            raise unreadable(entry.path, error) from error
        finally:
            os.close(descriptor)


def _file(path: bytes, mode: int, stamp: bytes, value: bytes) -> Entry:
    size = int(stamp[: stamp.index(b" ")])
    return Entry(path, "f", 0o755 if mode & stat.S_IXUSR else 0o644, size, value[:64].decode(), stamp)
