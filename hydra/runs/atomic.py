"""Atomic replacement of small files: a reader sees the old content or the new one, never a mixture, never nothing.

Write to a temporary file in the same directory, fsync, rename over the target, fsync the directory. A kill at any
moment leaves at worst a file named `.<name>.<pid>-<random>.tmp`, which `remove_leftovers` clears at the next start.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import yaml

from hydra.errors import RunError
from hydra.runs.encoding import decode, encode_document
from hydra.runs.failures import write_failed

#: Seconds after which a temporary file cannot belong to a write that is still going on.
LEFTOVER_AGE = 60.0


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace a file atomically.

    `durable=False` leaves out both fsyncs: the replacement stays atomic for readers and for a killed process, but a
    machine that loses power may keep the old content. Raises RunWriteError; the old content then still stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        _create(temporary, data, durable)
        os.replace(temporary, path)
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        if temporary.exists():
            temporary.unlink()
        raise write_failed(path, error) from error


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a UTF-8 text file atomically."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def write_json(path: Path, value: object, *, durable: bool = True) -> None:
    """Replace a JSON file atomically; non-finite numbers become the strings of `hydra.runs.encoding`."""
    write_bytes(path, encode_document(value), durable=durable)


def write_yaml(path: Path, value: object, *, durable: bool = True) -> None:
    """Replace a YAML file atomically, keys in the order given."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    write_text(path, text, durable=durable)


def read_json(path: Path, *, numbers: bool = True) -> Any:
    """The content of a JSON file (see `hydra.runs.encoding.decode`). Raises RunError if it is missing or not JSON."""
    try:
        return decode(_read(path), numbers=numbers)
    except ValueError as error:
        raise _malformed(path, "JSON", error) from error


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, safe types only. Raises RunError if it is missing or not YAML."""
    try:
        return yaml.safe_load(_read(path))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _malformed(path, "YAML", error) from error


def sync_directory(path: Path) -> None:
    """Make a rename or a new name in a directory survive a power loss.

    File systems that have no such operation (some network mounts) answer EINVAL: there the name is as durable as the
    mount makes it, and there is nothing to be done about it from here.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(directory: Path) -> list[Path]:
    """Remove the temporary files that killed writers left in one directory; returns what was removed.

    Only files older than a minute go, because another process may be between its write and its rename.
    """
    oldest = time.time() - LEFTOVER_AGE
    leftovers = [path for path in directory.glob(".*.tmp") if path.is_file() and path.stat().st_mtime < oldest]
    for path in leftovers:
        path.unlink()
    return leftovers


def _create(path: Path, data: bytes, durable: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(
            f"cannot read {path}: {error.strerror or error}",
            why="this file is needed to understand the run",
            fix="check the run's name and that its directory is complete",
            example=f"ls -l {path.parent}",
        ) from error


def _malformed(path: Path, form: str, error: Exception) -> RunError:
    return RunError(
        f"{path} is not {form}: {error}",
        why="it is only ever replaced as a whole, so it was edited or damaged from outside",
        fix="restore it from a copy, or start a new run",
        example=f"cat {path}",
    )
