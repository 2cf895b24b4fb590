"""`.fleetignore`: the syntax of `.gitignore`, and evaluated by git itself, so that no rule means something else here.

git is given an index that lists the paths and is asked which of them the patterns match. The index belongs to an empty
repository made for the question, so this works outside git too, and the user's own ignore rules play no part.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from fleet.release.git import ask, words
from fleet.release.refusals import git_failed

NAME: Final = ".fleetignore"
_NAME: Final = os.fsencode(NAME)
#: An index holds blobs; this is the name of the empty one.
_BLOB: Final = b"100644 e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\t"


def is_rules(path: bytes) -> bool:
    """Whether a path is a file of ignore rules. They hold for the folder in which they are and all below it."""
    return path == _NAME or path.endswith(b"/" + _NAME)


def ignored(paths: Collection[bytes], folder: Path) -> set[bytes]:
    """The paths that `.fleetignore` files in `folder` exclude. Raises Usage if git fails."""
    if not paths or not (os.path.lexists(folder / NAME) or any(map(is_rules, paths))):
        return set()
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="fleet-ignore-") as scratch:
        repository = Path(scratch)
        for name in ("objects", "refs"):
            (repository / name).mkdir()
        (repository / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        where = (f"--git-dir={repository}", f"--work-tree={folder}")
        listed = b"".join(_BLOB + path + b"\0" for path in paths)
        done = ask(folder, *where, "update-index", "-z", "--index-info", stdin=listed)
        if done.returncode == 0:
            done = ask(folder, *where, "ls-files", "-z", "--cached", "--ignored", f"--exclude-per-directory={NAME}")
        if done.returncode != 0:
            raise git_failed(folder, words(done))
    return set(done.stdout.split(b"\0")[:-1])
