"""Content-addressed artifacts: what is expensive to build is built once and found again by what it was built from.

`<folder>/<sha256>/`, the hash being that of the key: digests of the input bytes, parameters, library versions and
our own format version. An artifact appears by a rename and is never changed, so one that exists is complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hydra.data.locking import exclusive, writing
from hydra.runs import sync_directory

logger = logging.getLogger(__name__)

#: Raised when the bytes of any artifact would change for the same key.
FORMAT = 1
DESCRIPTION = "artifact.json"


def obtain(folder: Path, key: Mapping[str, object], purpose: str, build: Callable[[Path], None]) -> Path:
    """The directory of the artifact for a key; builds it if it is not there.

    `build` fills an empty directory. It runs in one process at a time for one key; others wait and say so. The files
    are on disk before the rename and read-only after it. Raises DataError when the folder cannot be written, and what
    `build` raises; a failed build leaves nothing behind.
    """
    description = json.dumps({"format": FORMAT, **key}, sort_keys=True, indent=2)
    name = hashlib.sha256(description.encode("utf-8")).hexdigest()
    target = folder / name
    if target.is_dir():
        return target
    with writing(target), exclusive(folder / ".locks" / name, purpose):
        if not target.is_dir():
            _build(folder, target, description, purpose, build)
    return target


def _build(folder: Path, target: Path, description: str, purpose: str, build: Callable[[Path], None]) -> None:
    # The lock is held, so whatever has this prefix was left by a builder that was killed.
    for leftover in folder.glob(f".{target.name}.*.tmp"):
        shutil.rmtree(leftover)
    started = time.monotonic()
    logger.info("%s", purpose)
    temporary = folder / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    temporary.mkdir()
    try:
        build(temporary)
        (temporary / DESCRIPTION).write_text(description + "\n", encoding="utf-8")
        for path in temporary.iterdir():
            _settle(path)
        sync_directory(temporary)
        temporary.rename(target)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
    sync_directory(folder)
    logger.info("%s: done in %.1f s", purpose, time.monotonic() - started)


def _settle(path: Path) -> None:
    """Onto the disk, then read-only. The folder stays writable, so that a user can remove what he built."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.chmod(0o444)
