"""One file or symbolic link of a release. Paths are bytes, as file systems keep them; `/` separates folders."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["f", "l"]

#: Folder of a release that holds its control files; the project's own folder of that name is never sent.
CONTROL = b".fleet"


class Entry(NamedTuple):
    """What the manifest says of one path, and what is needed to read its content again."""

    path: bytes
    """From the top of the tree."""
    kind: Kind
    mode: int
    """0o644 or 0o755 for files, 0o777 for links."""
    size: int
    """Bytes of the content; of a link: of its target."""
    digest: str
    """SHA-256 in hex of the content; of a link: of its target."""
    stamp: bytes = b""
    """What the content was read from: state of the file, name of the blob, target of the link. Not in the manifest."""

    def same_as(self, other: Entry) -> bool:
        """Whether both stand for the same thing on a host. A change of mode is a change."""
        return self[:5] == other[:5]


def shown(path: bytes) -> str:
    """A path for messages: what is not UTF-8 is escaped, control characters too."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in path.decode(errors="replace"))


def parents(path: bytes) -> list[bytes]:
    """Every folder above a path, nearest first, without the top."""
    found = []
    while (cut := path.rfind(b"/")) > 0:
        path = path[:cut]
        found.append(path)
    return found
