"""Lists of checksums that go with the files themselves, so that a host checks one part while the next one arrives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fleet.release import tar
from fleet.release.entry import CONTROL, Entry
from fleet.release.manifest import checksums

#: Parts by bytes. The last one needs no list: it is what remains of the list of all.
PARTS: Final = 4
#: Fewer files are checked in an instant.
_MANY: Final = 256


def parts(entries: Sequence[Entry]) -> dict[int, bytes]:
    """Members of the archive by the number of the entry before which they belong; none for a small tree.

    Each is the list of all files since the one before, then an empty file, which is there only when the list is whole.
    """
    found: dict[int, bytes] = {}
    if len(entries) < _MANY:
        return found
    total, passed, begun = sum(entry.size for entry in entries), 0, 0
    for number, entry in enumerate(entries):
        if number > begun and len(found) < PARTS - 1 and passed * PARTS >= total * (len(found) + 1):
            found[number] = _members(len(found) + 1, checksums(entries[begun:number]))
            begun = number
        passed += entry.size
    return found


def _members(number: int, sums: bytes) -> bytes:
    name = b"%b/part%d" % (CONTROL, number)
    return (
        tar.file_header(name, 0o444, len(sums))
        + sums
        + tar.padding(len(sums))
        + tar.file_header(name + b".whole", 0o444, 0)
    )
