"""From the file to the inventory: checked once, then taken from a cache for as long as no byte of it changes.

Checking takes 100 to 250 ms, most of it imports; what it found valid is kept under a name made of the file's bytes and
of the sources that checked it, so a file or a `fleet` that differs is checked again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

from fleet.errors import Usage
from fleet.inventory.reading import inventory
from fleet.inventory.values import Inventory

MAX_BYTES = 1_000_000
KIND = "inventory"


class Cache(Protocol):
    """Keeps one entry of a kind. It may forget, and it may be unable to write; neither is an error."""

    def get(self, kind: str, key: str) -> bytes | None:
        """What was put under the key, unharmed, or None."""

    def put(self, kind: str, key: str, data: bytes) -> None:
        """Keep the data in place of whatever this kind had before."""


def load(path: Path, cache: Cache | None = None) -> Inventory:
    """The inventory that a file describes. Raises InvalidInventory, with all mistakes at once, or Usage."""
    data = _bytes(path)
    key = fingerprint(data, path.name)
    kept = cache.get(KIND, key) if cache is not None else None
    if kept is not None:
        return inventory(path, json.loads(kept))
    merged = _checked(path, data)
    if cache is not None:
        cache.put(KIND, key, json.dumps(merged).encode("utf-8"))
    return inventory(path, merged)


def fingerprint(data: bytes, name: str) -> str:
    """SHA-256 of the file, its name (origins have it) and the sources that decide what is valid and what it means."""
    digest = hashlib.sha256(f"{name}\0{len(data)}\0".encode() + data)
    for source in sources():
        content = source.read_bytes()
        digest.update(f"{source.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def sources() -> list[Path]:
    """The files that decide what is valid and what it means: this room, and what names the manifest's settings."""
    import hydra.manifest

    here, manifest = Path(__file__).parent, Path(hydra.manifest.__file__).parent
    own = [path for path in here.rglob("*.*") if path.suffix in (".py", ".json")]
    return sorted([*own, *(manifest / f"{name}.py" for name in ("root", "sections", "shape", "paths"))])


def _checked(path: Path, data: bytes) -> dict[str, Any]:
    # Checking imports pydantic, and most commands find the file in the cache.
    from fleet.inventory.checking import checked

    return checked(path, _text(path, data))


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from error
    if data is None:
        raise _unreadable(path, f"is larger than {MAX_BYTES} bytes")
    return data


def _text(path: Path, data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _unreadable(path, f"is not UTF-8: byte {data[error.start]:#04x} in line {line}") from error
    if text.startswith("\ufeff"):
        raise _unreadable(path, "begins with a byte order mark")
    return text


def _unreadable(path: Path, fault: str) -> Usage:
    return Usage(
        f"{path} {fault}",
        why="it is a small JSON file, and nothing else names the hosts",
        fix="check the path, and save the file as UTF-8",
        example="fleet config example > fleet.json",
    )
