"""Byte code of the agent for the Python that runs it, made once on the host from the agent that is there.

It is a zip of compiled modules that appears whole or not at all and is never changed: a run that was started from it
may read from it until it ends. Other Pythons that share the folder have their own.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.abc
import io
import os
import zipfile
from typing import Any

from fleet.remote.entry import DIGEST_BYTES, whole

#: The earliest time that a zip file can hold.
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: Byte code, measured in the source's bytes: what is asked of the disk before anything is compiled.
_GROWTH = 2


def keep(agent: str, place: str) -> str:
    """Write the byte code of an agent to its place; returns why that was not possible, or nothing."""
    folder = os.path.dirname(place)
    temporary = os.path.join(folder, f".{os.path.basename(place)}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        with open(agent, "rb") as file:
            source = file.read()
        if not hashlib.sha256(source).hexdigest().startswith(os.path.basename(agent)[: -len(".pyz")]):
            return f"{agent} is not what its name says"
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            _reserve(target.fileno(), _GROWTH * len(source))
            target.write(compiled(source, agent))
            target.flush()
            os.fsync(target.fileno())
        _publish(temporary, place)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return ""


def compiled(source: bytes, agent: str) -> bytes:
    """The byte code of a zip of modules, with its own digest at the end. `agent` is what tracebacks name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as modules, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        target.comment = bytes(DIGEST_BYTES)
        for name in modules.namelist():
            module = _Module(f"{agent}/{name}", modules.read(name))
            target.writestr(zipfile.ZipInfo(name + "c", _EPOCH), module.compiled())
    data = buffer.getvalue()[:-DIGEST_BYTES]
    return data + hashlib.sha256(data).digest()


class _Module(importlib.abc.SourceLoader):
    """One module, loaded as Python loads a file, whose byte code is taken where Python would write it to the disk."""

    def __init__(self, path: str, text: bytes) -> None:
        self._path, self._text, self._code = path, text, b""

    def compiled(self) -> bytes:
        """What would be in its `.pyc`."""
        self.get_code(self._path)
        return self._code

    def get_filename(self, fullname: str) -> str:
        """Where tracebacks say that it is."""
        return self._path

    def get_data(self, path: Any) -> bytes:
        """Its text; byte code of an earlier time there is none."""
        if path != self._path:
            raise FileNotFoundError(path)
        return self._text

    def path_stats(self, path: Any) -> dict[str, int]:
        """A time of change that all have: there is no source beside the byte code to compare it with."""
        return {"mtime": 0, "size": len(self._text)}

    def set_data(self, path: Any, data: Any) -> None:
        """Take the byte code."""
        self._code = bytes(data)


def _reserve(descriptor: int, size: int) -> None:
    """Let a full disk say so before time is spent on compiling. Raises OSError."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
    os.ftruncate(descriptor, 0)


def _publish(temporary: str, place: str) -> None:
    """Give byte code its name. The first one stays, since others read from it already, unless it is damaged."""
    try:
        os.link(temporary, place)
    except FileExistsError:
        if not whole(place):
            os.replace(temporary, place)
    except PermissionError:
        # A file system without links: only somebody who lost a race is there already, with the same content.
        os.rename(temporary, place)
