"""What goes wrong when a run directory is written: a full disk, a read-only mount, a directory that has gone."""

from __future__ import annotations

import errno
from pathlib import Path

from hydra.errors import RunError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class RunWriteError(RunError):
    """A file of the run directory could not be written.

    It is a type of its own because a caller may want to outlive it: a failed save is an event and training goes on,
    while a wrong run id is a usage error. The operating system's own error is the `__cause__`.
    """


def write_failed(path: Path, error: OSError) -> RunWriteError:
    """The error for a failed write, with a remedy chosen by what the operating system said."""
    what = f"cannot write {path}: {error.strerror or error}"
    if error.errno in _NO_ROOM:
        return RunWriteError(
            what,
            why="the file system, a quota or a file-size limit leaves no room; nothing already written was harmed",
            fix="free space there or move the runs folder to a larger disk, then resume the run",
            example=f"df -h {path.parent}",
        )
    if error.errno == errno.ENOENT:
        return RunWriteError(
            what,
            why="the directory does not exist: it was removed or renamed while in use",
            fix="put it back or start a new run; a directory that is in use must stay where it is",
            example=f"ls -d {path.parent}",
        )
    return RunWriteError(
        what,
        why="the operating system refused the write; nothing already written was harmed",
        fix="check the owner, the permissions and the mount of that directory",
        example=f"ls -ld {path.parent} && touch {path.parent}/probe",
    )
