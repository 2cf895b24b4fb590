"""Digests of files that were hashed before and look untouched since, so that a deploy need not read the whole tree.

A file is taken for the same while its size, modification time, change time and inode are. One that changed less than
two seconds before it was hashed is not remembered: it could change again without any of these telling.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_HEADER: Final = b"fleet digests 1\n"
#: Coarsest granularity of times among the file systems in use.
_SETTLED_NS: Final = 2_000_000_000
_HEX: Final = 64


def stamp_of(status: os.stat_result) -> bytes:
    """What tells whether a file is still the same."""
    return b"%d %d %d %d" % (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether a file hashed now can be trusted to show its next change."""
    return now_ns - max(status.st_mtime_ns, status.st_ctime_ns) >= _SETTLED_NS


class StatCache:
    """A file that maps names and stamps to digests. What it holds that cannot be understood counts as not there."""

    def __init__(self, path: Path | None) -> None:
        """`path` of the cache file; without one nothing is remembered."""
        self._path = path
        self._known = {} if path is None else _read(path)
        self._seen: dict[bytes, tuple[bytes, bytes]] = {}
        self._learned = False

    @property
    def names(self) -> Iterable[bytes]:
        """What was remembered."""
        return self._known.keys()

    def get(self, name: bytes, stamp: bytes) -> bytes | None:
        """The value remembered for a name, if its stamp is still the same."""
        entry = self._known.get(name)
        if entry is None or entry[0] != stamp:
            return None
        self._seen[name] = entry
        return entry[1]

    def put(self, name: bytes, stamp: bytes, value: bytes) -> None:
        """Remember a value."""
        self._seen[name] = (stamp, value)
        self._learned = True

    def save(self) -> None:
        """Write down what was used or learned since the cache was opened, in one step; the rest is forgotten.

        Raises OSError. Of two processes that save at once, one wins; the other's work is done again next time.
        """
        if self._path is None or (not self._learned and len(self._seen) == len(self._known)):
            return
        body = b"\0".join(part for name, (stamp, value) in self._seen.items() for part in (name, stamp, value))
        digest = hashlib.sha256(body).hexdigest().encode()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}-{time.monotonic_ns()}")
        try:
            temporary.write_bytes(_HEADER + digest + body)
            os.replace(temporary, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def _read(path: Path) -> dict[bytes, tuple[bytes, bytes]]:
    """The content of a cache file; nothing if it is missing, damaged or of another version."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    start = len(_HEADER)
    digest, body = data[start : start + _HEX], data[start + _HEX :]
    if not data.startswith(_HEADER) or hashlib.sha256(body).hexdigest().encode() != digest or not body:
        return {}
    parts = body.split(b"\0")
    return dict(zip(parts[0::3], zip(parts[1::3], parts[2::3], strict=True), strict=True))
