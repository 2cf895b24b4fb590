"""Plain data: what a manifest may consist of, checked once where it enters.

Everything after this point may rely on text keys, finite numbers of 64 bits and a bounded size, whoever made the data.
"""

from __future__ import annotations

import math

from hydra.errors import ManifestError
from hydra.manifest.paths import Path, dotted
from hydra.manifest.tree import Data

#: Far above any real manifest, and below what would exhaust Python's stack or a reader's patience.
MAX_DEPTH = 64
MAX_NODES = 200_000
_MAX_INT = 2**63


def plain(value: object, name: str) -> Data:
    """A copy of `value` made of mappings with text keys, lists and scalars; `name` says where it came from.

    Raises ManifestError for anything that JSON could not hold or that nobody can mean as a setting.
    """
    return _Copy(name).of(value, ())


def scalar_fault(value: str | int | float | bool | None) -> str | None:
    """What is wrong with a scalar, or None."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}, and settings are finite numbers"
    if isinstance(value, int) and not isinstance(value, bool) and not -_MAX_INT <= value < _MAX_INT:
        return "is an integer beyond 64 bits"
    if isinstance(value, str) and not _encodable(value):
        return "holds half of a surrogate pair, which is not text"
    return None


def refused(name: str, path: Path, fault: str) -> ManifestError:
    """The error for a value that is not plain."""
    return ManifestError(
        f"{name}: '{dotted(path) or 'the top'}' {fault}",
        why="settings are text, finite numbers, booleans, null, lists and mappings with text keys",
        fix="write a plain value; quote it if it is meant as text",
        example='notes: "2026-01-31"',
    )


def _encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


class _Copy:
    """Copies one value and counts its nodes, because shared parts may unfold to more than memory holds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes = 0

    def of(self, value: object, path: Path) -> Data:
        self._nodes += 1
        if len(path) > MAX_DEPTH or self._nodes > MAX_NODES:
            limit = f"{MAX_DEPTH} levels" if len(path) > MAX_DEPTH else f"{MAX_NODES} values"
            raise refused(self._name, path[:3], f"goes beyond {limit}")
        if isinstance(value, dict):
            return self._mapping(value, path)
        if isinstance(value, list | tuple):
            return [self.of(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str | int | float | bool) and value is not None:
            raise refused(self._name, path, f"is a {type(value).__name__}")
        fault = scalar_fault(value)
        if fault is not None:
            raise refused(self._name, path, fault)
        return value

    def _mapping(self, value: dict[object, object], path: Path) -> dict[str, Data]:
        for key in value:
            if not isinstance(key, str) or not _encodable(key):
                raise refused(self._name, path, f"has the key {key!r}, which is not text")
        return {str(key): self.of(item, (*path, str(key))) for key, item in value.items()}
