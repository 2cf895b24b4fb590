"""Which commit a tree is, and by what it differs from it. Recorded beside the release; not part of its id."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.release import ignore
from fleet.release.git import ask, ask_all, words
from fleet.release.listing import in_work_tree
from fleet.release.refusals import git_failed

#: Larger patches are described by their digest alone; the release holds the files anyway.
PATCH_LIMIT: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the files of a release come from."""

    commit: str | None = None
    """None outside git and before the first commit."""
    dirty: bool = False
    """Whether files differ from the commit, or are not in it."""
    patch: bytes = b""
    """What `git diff` says against the commit, binary files included, but for files that are held back."""
    untracked: int = 0
    """Files of the release that git does not track."""

    @property
    def patch_digest(self) -> str | None:
        """SHA-256 of the patch in hex; None if there is no patch."""
        return hashlib.sha256(self.patch).hexdigest() if self.patch else None

    @property
    def patch_kept(self) -> bool:
        """Whether the patch is small enough to travel with the release."""
        return 0 < len(self.patch) <= PATCH_LIMIT

    def record(self) -> dict[str, Any]:
        """The fields of `release.json`."""
        patch = None
        if self.patch:
            patch = {"sha256": self.patch_digest, "bytes": len(self.patch), "kept": self.patch_kept}
        return {"commit": self.commit, "dirty": self.dirty, "patch": patch, "untracked": self.untracked}


def of_commit(commit: str) -> Provenance:
    """A tree that is a commit, nothing else."""
    return Provenance(commit)


def of_work_tree(root: Path, paths: Sequence[bytes], never: Collection[bytes] = ()) -> Provenance:
    """The commit under a work tree and the changes on top, below `root`. Raises Usage if git fails.

    `paths` are the files of the release. Changes of files that `.fleetignore` or `never` holds back are left out: the
    patch travels with the release.
    """
    if not in_work_tree(root):
        return Provenance()
    head, tracked, names, diff = ask_all(
        root,
        ("rev-parse", "--verify", "--quiet", "HEAD^{commit}"),
        ("ls-files", "-z", "--cached"),
        ("--no-optional-locks", "diff", "--name-only", "--no-renames", "-z", "--relative", "HEAD", "--", "."),
        _diff(()),
    )
    if tracked.returncode != 0:
        raise git_failed(root, words(tracked))
    untracked = len(set(paths) - set(tracked.stdout.split(b"\0")))
    if head.returncode != 0:
        return Provenance(dirty=True, untracked=untracked)
    changed = set(names.stdout.split(b"\0")[:-1])
    held_back = changed & set(never) | changed & ignore.ignored({*paths, *changed}, root)
    if held_back:
        diff = ask(root, *_diff(held_back))
    for asked in (names, diff):
        if asked.returncode != 0:
            raise git_failed(root, words(asked))
    patch = diff.stdout
    return Provenance(head.stdout.strip().decode(), bool(patch or untracked), patch, untracked)


def _diff(without: Collection[bytes]) -> tuple[str, ...]:
    """The question for the changes since the commit, but for those of some paths."""
    # The user's settings could hide changes behind another tool or form.
    plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--full-index", "--relative")
    others = [f":(exclude,literal){os.fsdecode(path)}" for path in sorted(without)]
    return ("--no-optional-locks", "diff", *plain, "HEAD", "--", ".", *others)
