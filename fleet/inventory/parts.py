"""Parts of a file that may not be what they should be: whatever has another form counts as empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NOTHING: Mapping[str, Any] = {}


def object_of(part: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under a key."""
    value = part.get(key)
    return value if isinstance(value, dict) else _NOTHING


def objects_of(part: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
    """The objects inside the object under a key."""
    return {name: value for name, value in object_of(part, key).items() if isinstance(value, dict)}


def texts_of(part: Mapping[str, Any], key: str) -> dict[int, str]:
    """The texts in the list under a key, by position."""
    value = part.get(key)
    return {index: text for index, text in enumerate(value) if isinstance(text, str)} if isinstance(value, list) else {}
