"""The way from a release that a host has to the one it should get: what to send, what to take away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet.release.entry import Entry, parents


@dataclass(frozen=True, slots=True)
class Changes:
    """What turns a base release into a tree."""

    send: tuple[Entry, ...]
    """New and changed entries."""
    reused: int
    """Entries that the base has."""
    steps: bytes
    """For the host, a line each: `w` make a folder writable, `d` remove a file, `r` remove a folder, empty by then, `p`
    protect a folder."""
    count: int
    """Number of steps."""


def changes(base: Mapping[bytes, Entry], wanted: Sequence[Entry]) -> Changes:
    """Compare a release with the entries of a tree."""
    send = tuple(entry for entry in wanted if (old := base.get(entry.path)) is None or not entry.same_as(old))
    remaining = {entry.path for entry in wanted} - {entry.path for entry in send}
    removed = [path for path in base if path not in remaining]
    there = {folder for path in base for folder in parents(path)}
    needed = {folder for entry in wanted for folder in parents(entry.path)}
    gone = there - needed
    touched = {folder for path in [*removed, *gone] for folder in parents(path)[:1]}
    for entry in send:
        touched |= {folder for folder in parents(entry.path) if folder in there}
    lines = [b"w " + folder for folder in sorted(touched)]
    lines += [b"d " + path for path in sorted(removed)]
    lines += [b"r " + folder for folder in sorted(gone, key=lambda folder: (-folder.count(b"/"), folder))]
    lines += [b"p " + folder for folder in sorted(touched - gone)]
    return Changes(send, len(remaining), b"".join(line + b"\n" for line in lines), len(lines))
