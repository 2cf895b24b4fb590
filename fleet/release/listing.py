"""Which paths belong to a tree: in a git work tree what git says, elsewhere everything; `.git` and `.fleet` never."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fleet.release.entry import CONTROL, shown
from fleet.release.git import ask, words
from fleet.release.refusals import git_failed

_GIT: Final = b".git"


class Listing:
    """The paths below a folder, without a look at what lies there."""

    def __init__(self, root: Path) -> None:
        self.warnings: list[str] = []
        self._root = os.fsencode(root)
        self._git = in_work_tree(root)

    def paths(self) -> list[bytes]:
        """Paths of files and links, and of folders that are repositories of their own. Files may be gone again.

        Raises Usage if git is needed and fails.
        """
        if not self._git:
            return _walk(self._root)
        inside = CONTROL + b"/"
        return [path for path in self._of_git(b"") if not path.startswith(inside)]

    def inside(self, folder: bytes) -> list[bytes]:
        """Paths inside a folder that was listed as one path: a submodule, or a repository that lies there."""
        if os.path.lexists(os.path.join(self._root, folder, _GIT)):
            return self._of_git(folder + b"/")
        self.warnings.append(f"submodule {shown(folder)} is not checked out: nothing of it is sent")
        return []

    def _of_git(self, prefix: bytes) -> list[bytes]:
        """Tracked files, and untracked ones that git does not ignore."""
        folder = Path(os.fsdecode(os.path.join(self._root, prefix)))
        done = ask(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        if done.returncode != 0:
            raise git_failed(folder, words(done))
        # A repository that is not a submodule ends with a slash. Paths that are in conflict are listed several times.
        found = {path.rstrip(b"/") for path in done.stdout.split(b"\0")[:-1]}
        return [prefix + path for path in found] if prefix else list(found)


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
