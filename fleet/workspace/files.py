"""Writing files that nobody else may read, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from fleet.errors import Usage

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def make_folder(path: Path) -> None:
    """Make a folder and those above it, or close an existing one to others. Raises OSError."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o777 != FOLDER_MODE:
        path.chmod(FOLDER_MODE)


def replace(path: Path, data: bytes) -> None:
    """Put the data into a file of mode 0600, so that every reader sees all of it or what was there before.

    Raises OSError; the old content then still stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def refusals(path: Path, doing: str) -> Generator[None]:
    """Turn what the system refuses inside into a Usage that names the place."""
    try:
        yield
    except OSError as error:
        raise Usage(
            f"cannot {doing} {path}: {error.strerror or error}",
            why="fleet keeps its state in a folder beside fleet.json, and what it may not lose is kept there",
            fix="make the folder writable, or free space on its disk",
            example=f"ls -ld {path.parent}",
        ) from error
