"""Small files replaced as a whole: a reader sees the old content or the new one, also after a kill or a power loss."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import Any


def write_json(path: str, value: Any, *, durable: bool = True, mode: int = 0o666) -> None:
    """Replace a JSON file: temporary file in the same folder, fsync, rename, fsync of the folder. Raises OSError.

    Temporary names are those that `hydra.runs.remove_leftovers` clears.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    data = json.dumps(value, indent=2, allow_nan=False).encode("ascii") + b"\n"
    try:
        _create(temporary, data, durable, mode)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(folder)


def read_json(path: str) -> dict[str, Any] | None:
    """The object in a JSON file; None if the file is absent, is no JSON object or cannot be read by this user."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def sync_directory(path: str) -> None:
    """Make a new name in a folder survive a power loss, where the file system knows how (EINVAL: it does not)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _create(path: str, data: bytes, durable: bool, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
