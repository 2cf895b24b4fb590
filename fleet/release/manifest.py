"""The manifest: the text that says what a release holds. Its SHA-256 names the release.

One line a path, `type mode size sha256 path`, sorted by path. Nothing in it depends on time, user or machine, so the
same tree has the same id wherever it was deployed from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from fleet.errors import Unverified
from fleet.release.entry import Entry, Kind, shown

_KINDS: Final[dict[bytes, Kind]] = {b"f": "f", b"l": "l"}
_ID_DIGITS: Final = 16


def render(entries: Iterable[Entry]) -> bytes:
    """The manifest of entries that are sorted by path."""
    return b"".join(
        b"%b 0%o %d %b %b\n" % (entry.kind.encode(), entry.mode, entry.size, entry.digest.encode(), entry.path)
        for entry in entries
    )


def parse(manifest: bytes) -> dict[bytes, Entry]:
    """The entries of a manifest by path. Raises Unverified if it is not one."""
    found: dict[bytes, Entry] = {}
    for line in manifest.split(b"\n")[:-1]:
        try:
            kind, mode, size, digest, path = line.split(b" ", 4)
            found[path] = Entry(path, _KINDS[kind], int(mode, 8), int(size), digest.decode("ascii"))
        except (ValueError, KeyError) as error:
            raise Unverified(
                f"a manifest holds the line {shown(line[:120])!r}",
                why="each line is `type mode size sha256 path`",
                fix="deploy again; the release is made anew",
                example="f 0644 12 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 README.md",
            ) from error
    return found


def checksums(entries: Iterable[Entry]) -> bytes:
    """`SHA256SUMS` for `sha256sum -c`: all files. Names begin with `./`, so that none looks like an option."""
    return b"".join(b"%b  ./%b\n" % (entry.digest.encode(), entry.path) for entry in entries if entry.kind == "f")


def digest_of(manifest: bytes) -> str:
    """SHA-256 of a manifest in hex."""
    return hashlib.sha256(manifest).hexdigest()


def release_id(digest: str) -> str:
    """The name of the release whose manifest has this digest."""
    return digest[:_ID_DIGITS]
