"""Which paths belong to a tree: in a git work tree what git says, elsewhere everything; `.git` and `.fleet` never."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Final

from fleet.release.entry import CONTROL, shown
from fleet.release.git import ask, begin, finish, words
from fleet.release.refusals import git_failed

_GIT: Final = b".git"


_QUESTION: Final = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")


class Listing:
    """The paths below a folder, without a look at what lies there. git is asked at once, and answers meanwhile."""

    def __init__(self, root: Path) -> None:
        self.warnings: list[str] = []
        self._root = os.fsencode(root)
        self._asked = begin(root, *_QUESTION) if in_work_tree(root) else None

    def paths(self) -> list[bytes]:
        """Paths of files and links, and of folders that are repositories of their own. Files may be gone again.

        To be called once. Raises Usage if git is needed and fails.
        """
        if self._asked is None:
            return _walk(self._root)
        root = Path(os.fsdecode(self._root))
        inside = CONTROL + b"/"
        return [path for path in _named(root, finish(root, self._asked)) if not path.startswith(inside)]

    def inside(self, folder: bytes, *, known: Collection[bytes]) -> list[bytes]:
        """Paths inside a folder that was listed as one path: a submodule, or a repository that lies there.

        A tracked file that was replaced by a folder is listed too, beside what lies in that folder, which is `known`.
        """
        place = Path(os.fsdecode(os.path.join(self._root, folder)))
        if os.path.lexists(place / ".git"):
            return [folder + b"/" + path for path in _named(place, ask(place, *_QUESTION))]
        inner = folder + b"/"
        if not any(path.startswith(inner) for path in known):
            self.warnings.append(f"submodule {shown(folder)} is not checked out: nothing of it is sent")
        return []


def _named(folder: Path, done: subprocess.CompletedProcess[bytes]) -> list[bytes]:
    """The paths that git answered, each once: those in conflict are listed several times."""
    if done.returncode != 0:
        raise git_failed(folder, words(done))
    # A repository that is not a submodule ends with a slash.
    return list({path.rstrip(b"/") for path in done.stdout.split(b"\0")[:-1]})


def in_work_tree(root: Path) -> bool:
    """Whether the folder is part of a git work tree."""
    folder = root.resolve()
    return any(os.path.lexists(place / ".git") for place in (folder, *folder.parents))


def _walk(root: bytes, prefix: bytes = b"") -> list[bytes]:
    """Everything that is not a folder, below a folder that git knows nothing of."""
    found = []
    with os.scandir(os.path.join(root, prefix) if prefix else root) as entries:
        for entry in entries:
            if entry.name == _GIT or (not prefix and entry.name == CONTROL):
                continue
            if entry.is_dir(follow_symlinks=False):
                found += _walk(root, prefix + entry.name + b"/")
            else:
                found.append(prefix + entry.name)
    return found
