"""What is to be deployed: the entries of a work tree or of a commit, the manifest made of them, and its id."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final

from fleet.release.entry import Entry, shown
from fleet.release.hashing import POINTER
from fleet.release.links import leaves_tree
from fleet.release.manifest import digest_of, release_id, render
from fleet.release.provenance import Provenance, of_commit, of_work_tree
from fleet.release.refusals import bad_path, empty, too_large
from fleet.release.sources import Source
from fleet.release.statcache import StatCache
from fleet.release.worktree import WorkTree

MIB: Final = 1 << 20
#: Bytes that a release may have unless more are allowed.
MAX_SIZE: Final = 500 * MIB
_LARGE: Final = 50 * MIB
_NAMED: Final = 10


@dataclass(frozen=True)
class Tree:
    """A tree that was looked at once. Any number of hosts can be given it, at the same time."""

    root: Path
    entries: tuple[Entry, ...]
    """Sorted by path."""
    manifest: bytes
    digest: str
    """SHA-256 of the manifest."""
    warnings: tuple[str, ...]
    source: Source
    cache: Path | None = None
    """Folder for what later deploys can reuse."""
    commit: str | None = None
    """The commit that was asked for with --ref; None for the work tree."""
    never: frozenset[bytes] = frozenset()
    """Paths of which nothing is sent, not even as a part of the patch."""

    @property
    def release(self) -> str:
        """The release id: the first 16 digits of `digest`."""
        return release_id(self.digest)

    @property
    def size(self) -> int:
        """Bytes of all contents."""
        return sum(entry.size for entry in self.entries)

    @cached_property
    def provenance(self) -> Provenance:
        """Commit and local changes. git is asked when this is first read: a deploy that sends nothing needs it not."""
        if self.commit is not None:
            return of_commit(self.commit)
        return of_work_tree(self.root, [entry.path for entry in self.entries], self.never)


def scan(
    root: Path,
    *,
    ref: str | None = None,
    cache: Path | None = None,
    max_size: int = MAX_SIZE,
    never: Collection[str] = (),
) -> Tree:
    """Look at the tree below `root`: the files that git tracks or does not ignore, minus `.fleetignore`.

    `ref` takes a commit instead of the work tree. `cache` is a folder that remembers digests. `max_size` is the limit
    in bytes. `never` lists paths, from `root` or absolute, that are not sent whoever tracks them: files of secrets.
    Raises Usage for what cannot be deployed. Needs no connection, so it can run while one is opened.
    """
    name = b"tree-" + sha256(os.fsencode(root.resolve())).hexdigest()[:16].encode()
    store = StatCache(None if cache is None else cache / os.fsdecode(name if ref is None else name + b"-blobs"))
    source, commit = _source(root, ref)
    rows, warnings = source.rows(store)
    excluded = _paths(root, never)
    rows = sorted(row for row in rows if row[0].path not in excluded)
    try:
        store.save()
    except OSError as error:
        warnings.append(f"digests could not be kept for the next deploy: {error}")
    entries = tuple(entry for entry, _ in rows)
    _check(root, entries)
    warnings += _remarks(entries, [entry for entry, value in rows if value.endswith(POINTER)], max_size)
    manifest = render(entries)
    return Tree(root, entries, manifest, digest_of(manifest), tuple(warnings), source, cache, commit, excluded)


def _paths(root: Path, files: Collection[str]) -> frozenset[bytes]:
    """Files as paths from `root`. A link is held back with what it leads to: that is where the content is."""
    whole = [os.path.join(root, os.path.expanduser(path)) for path in files]
    named = {os.fsencode(os.path.relpath(path, root)) for path in whole}
    return frozenset(named | {os.fsencode(os.path.relpath(os.path.realpath(path), root.resolve())) for path in whole})


def _source(root: Path, ref: str | None) -> tuple[Source, str | None]:
    """Where the files come from, and the commit if it is one."""
    if ref is None:
        return WorkTree(root), None
    from fleet.release.commit import Commit

    commit = Commit(root, ref)
    return commit, commit.name


def _check(root: Path, entries: Sequence[Entry]) -> None:
    """Refuse paths and links that would not mean the same on a host."""
    if not entries:
        raise empty(root)
    links = {entry.path: entry.stamp for entry in entries if entry.kind == "l"}
    names = b"\0".join(entry.path for entry in entries)
    if b"\n" in names or b"\r" in names:
        path = next(entry.path for entry in entries if b"\n" in entry.path or b"\r" in entry.path)
        raise bad_path(path, "has a line break in its name")
    for path, target in links.items():
        if b"\n" in target:
            raise bad_path(path, "is a link whose target has a line break in its name")
        if leaves_tree(path, links):
            raise bad_path(path, f"is a link out of the tree, to {shown(target)}")


def _remarks(entries: Sequence[Entry], pointers: Sequence[Entry], max_size: int) -> list[str]:
    """What the user should know of a tree that can be deployed; raises Usage if it is too large."""
    remarks = []
    size = sum(entry.size for entry in entries)
    if size > min(_LARGE, max_size):
        by_size = sorted(entries, key=lambda entry: (-entry.size, entry.path))[:_NAMED]
        largest = ", ".join(f"{shown(entry.path)} ({entry.size / MIB:.1f} MiB)" for entry in by_size)
        if size > max_size:
            raise too_large(size, max_size, largest)
        remarks.append(f"the tree has {size / MIB:.0f} MiB; largest: {largest}")
    if pointers:
        names = ", ".join(shown(entry.path) for entry in pointers[:_NAMED])
        more = f" and {len(pointers) - _NAMED} more" if len(pointers) > _NAMED else ""
        remarks.append(f"only pointers of large files are sent, fetch the files first (git lfs pull): {names}{more}")
    return remarks
