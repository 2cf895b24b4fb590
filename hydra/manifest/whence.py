"""Where the values that a message names were set."""

from __future__ import annotations

import re

from hydra.manifest.paths import Path, parsed
from hydra.manifest.tree import Tree

#: Origin of data that a program passed in: there is no line to point at.
GIVEN = "given"
_NAMED = re.compile(r"\b([a-z_][a-z0-9_.]*)=")


def told(message: str, path: Path, tree: Tree) -> str:
    """` (heads: small.yaml:12)` for every `name=value` in a message, names being relative to the path or the root."""
    found = []
    for name in dict.fromkeys(_NAMED.findall(message)):
        inner = parsed(name)
        places = [place for place in ((*path, *inner), ("model", *inner), inner) if _has_section(tree, place)]
        written = next((place for place in places if tree.has(place)), None)
        origin = tree.origin(written) if written is not None else "default" if places else GIVEN
        if origin is not None and origin != GIVEN:
            found.append(f"{name}: {origin}")
    return f" ({', '.join(found)})" if found else at(tree.origin(path))


def _has_section(tree: Tree, place: Path) -> bool:
    return len(place) > 1 and isinstance(tree.get(place[:-1]), dict)


def at(origin: str | None) -> str:
    """` (small.yaml:12)`, or nothing when nobody knows."""
    return f" ({origin})" if origin is not None and origin != GIVEN else ""
