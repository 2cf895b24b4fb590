"""Paths into a manifest: `model.blocks.0.mixer.heads` as people write them, and as tuples.

The two forms are one-to-one, so that two different places never share a name: a key that contains a point, looks like
a number or is otherwise unusual stands in double quotes (`comparison.tuned.space."optimizer.0.lr"`).
"""

from __future__ import annotations

import json
import re
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_POSITION = re.compile(r"0|[1-9][0-9]{0,8}")
_PART = re.compile(r'("(?:[^"\\]|\\.)*"|[^."]+)(\.|$)')


def dotted(path: Path) -> str:
    """A path as people write it."""
    return ".".join(_written(part) for part in path)


def parsed(text: str) -> Path:
    """The path that a text means; bare numbers are list positions. Raises ValueError for an empty or torn part."""
    parts: list[str | int] = []
    position = 0
    while position < len(text) or not parts:
        found = _PART.match(text, position)
        if found is None:
            raise ValueError(f"{text!r} is not a dotted path")
        part, separator = found.groups()
        if part.startswith('"'):
            parts.append(_unquoted(part))
        else:
            parts.append(int(part) if _POSITION.fullmatch(part) else part)
        position = found.end()
        if separator and position == len(text):
            raise ValueError(f"{text!r} ends in a point")
    return tuple(parts)


def _written(part: str | int) -> str:
    if isinstance(part, int) or _PLAIN.fullmatch(part):
        return str(part)
    return json.dumps(part)


def _unquoted(part: str) -> str:
    # JSON's own error is a ValueError, which is what this module promises.
    text = json.loads(part)
    assert isinstance(text, str)
    return text
