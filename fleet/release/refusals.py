"""Trees that cannot be deployed, and what to do about each."""

from __future__ import annotations

from pathlib import Path

from fleet.errors import Usage
from fleet.release.entry import shown


def bad_path(path: bytes, what: str) -> Usage:
    """A path that cannot travel."""
    return Usage(
        f"{shown(path)} {what}",
        why="a release is described by one line a path and must mean the same on every host",
        fix="rename or remove it, or list it in .fleetignore",
        example="echo 'data/raw/' >> .fleetignore",
    )


def unreadable(path: bytes, error: OSError) -> Usage:
    """A file that was listed and cannot be read."""
    return Usage(
        f"cannot read {shown(path)}: {error.strerror or error}",
        why="a release holds every file of the tree that is not ignored",
        fix="make it readable, or list it in .fleetignore",
        example="echo 'private/' >> .fleetignore",
    )


def changed(path: bytes) -> Usage:
    """A file that is no longer what was hashed."""
    return Usage(
        f"{shown(path)} changed while it was being deployed",
        why="what arrives must be what was looked at; nothing of it became visible on a host",
        fix="deploy again when nothing writes to the tree",
        example="fleet deploy lab-a",
    )


def empty(root: Path) -> Usage:
    """A tree in which nothing is left to send."""
    return Usage(
        f"{root} holds nothing to deploy",
        why="every file there is ignored by git or .fleetignore, or there is none",
        fix="run fleet in the project, or correct the ignore rules",
        example="git ls-files --cached --others --exclude-standard",
    )


def git_failed(root: Path, words: str) -> Usage:
    """git would not say what belongs to the tree."""
    return Usage(
        f"git cannot list {root}: {words or 'it ended without a word'}",
        why="in a git work tree, git alone decides which files are sent; guessing could send private ones",
        fix="make `git status` work there",
        example=f"git -C {root} status",
    )


def no_git(root: Path) -> Usage:
    """git is needed and not installed."""
    return Usage(
        f"there is no git here, and {root} needs it",
        why="which files of a work tree are sent, and what .fleetignore means, is asked of git",
        fix="install git",
        example="apt-get install git",
    )


def too_large(size: int, limit: int, largest: str) -> Usage:
    """More bytes than anybody means to send."""
    return Usage(
        f"the tree has {size / 2**20:.0f} MiB, the limit is {limit / 2**20:.0f} MiB; largest: {largest}",
        why="data and checkpoints do not belong into a release, which is kept several times on every host",
        fix="list them in .fleetignore, or raise the limit",
        example="fleet deploy lab-a --max-size 2000",
    )


def bad_ref(ref: str, words: str) -> Usage:
    """A revision that git does not know."""
    return Usage(
        f"no commit {ref!r}: {words}",
        why="--ref takes whatever git understands as a commit",
        fix="name a branch, a tag or a commit of this repository",
        example="fleet deploy lab-a --ref HEAD~1",
    )
