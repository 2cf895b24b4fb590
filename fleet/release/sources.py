"""Where the contents of a release come from: the work tree, or a commit. Both give entries and read them again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from fleet.release.entry import Entry
from fleet.release.statcache import StatCache

#: Gives the content of a file entry in pieces whose lengths add up to its size. Raises Usage if that is impossible.
Read = Callable[[Entry], Iterator[bytes]]


#: An entry, and the value under which its digest is remembered (see `hashing`); empty for links.
Row = tuple[Entry, bytes]


class Source(Protocol):
    """A place that has files and keeps them until they are sent."""

    def rows(self, cache: StatCache) -> tuple[list[Row], list[str]]:
        """What is to be sent, in no order, and warnings. Raises Usage for what cannot be."""

    def reading(self) -> AbstractContextManager[Read]:
        """A reader. Several hosts are served at once, so each upload takes one of its own."""


def link(path: bytes, target: bytes) -> Entry:
    """The entry of a symbolic link."""
    return Entry(path, "l", 0o777, len(target), hashlib.sha256(target).hexdigest(), target)
