"""SHA-256 of the files of a work tree, and whether one is only the pointer to a large file kept elsewhere."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fleet.release.refusals import changed, unreadable
from fleet.release.statcache import settled, stamp_of

_BLOCK: Final = 1 << 20
#: Pointers of git's large file storage are short texts of this form.
_POINTER: Final = re.compile(rb"version [^\n]*git-lfs[^\n]*\n(?:[^\n]*\n)*?oid sha256:[0-9a-f]{64}\nsize \d+\n")
_POINTER_SIZE: Final = 1024
#: Below so many bytes threads cost more than they save.
_ALONE: Final = 4 << 20
#: What is appended to the digest of a pointer, in caches.
POINTER: Final = b"*"


def value_of(pieces: Iterable[bytes]) -> bytes:
    """The digest in hex of a content that comes in pieces, marked if it is a pointer."""
    state, first, size = hashlib.sha256(), b"", 0
    for piece in pieces:
        state.update(piece)
        first = first or piece
        size += len(piece)
    digest = state.hexdigest().encode()
    return digest + POINTER if size < _POINTER_SIZE and _POINTER.fullmatch(first) else digest


def hash_file(prefix: bytes, path: bytes) -> tuple[bytes, bytes, bool]:
    """Value and stamp of the file at prefix + path, and whether both may be remembered.

    Raises Usage if it cannot be read or changes.
    """
    try:
        descriptor = os.open(prefix + path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        before = os.fstat(descriptor)
        value = value_of(_pieces(descriptor))
        now = time.time_ns()
        after = os.fstat(descriptor)
    except OSError as error:
        raise unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if stamp_of(before) != stamp_of(after):
        raise changed(path)
    return value, stamp_of(after), settled(after, now)


def hash_files(prefix: bytes, paths: Sequence[bytes], total: int) -> list[tuple[bytes, bytes, bool]]:
    """`hash_file` of each path, by several threads if there are many bytes in `total`."""
    if total < _ALONE:
        return [hash_file(prefix, path) for path in paths]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda path: hash_file(prefix, path), paths))


def _pieces(descriptor: int) -> Iterator[bytes]:
    while piece := os.read(descriptor, _BLOCK):
        yield piece
