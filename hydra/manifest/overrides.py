"""`--set a.b=c`: changes from the command line, applied to the file before anything else looks at it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hydra.errors import ManifestError
from hydra.manifest import source
from hydra.manifest.lowering.shorthand import as_written
from hydra.manifest.paths import Path, dotted, parsed
from hydra.manifest.tree import Data, Tree


def apply(tree: Tree, overrides: Sequence[str]) -> Tree:
    """The tree with every `path=value` set, in order. Errors: no `=`, no value, or a path that leads nowhere."""
    result = tree.copy()
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            raise _malformed(text)
        try:
            path = parsed(name.strip())
        except ValueError as error:
            raise _malformed(text) from error
        path = _Route(result, text).to(as_written(result, path))
        result.put(path, source.value(value, f"--set {name.strip()}"), f"--set {text}")
    return result


def _malformed(text: str) -> ManifestError:
    return ManifestError(
        f"--set {text!r} is not of the form path=value",
        why="an override names one setting and its new value",
        fix="join the dotted path and the value with '='",
        example="--set training.steps=50",
    )


class _Route:
    """Follows one override through the file as it is written; what is missing at its end will be made of mappings."""

    def __init__(self, tree: Tree, text: str) -> None:
        self._tree, self._text = tree, text

    def to(self, path: Path) -> Path:
        """The path with every part of the type that its container has."""
        node: Data = self._tree.data
        made = False
        route: list[str | int] = []
        for part in path:
            if isinstance(node, dict):
                # A key may look like a list position; a list position cannot be made out of nothing.
                key = str(part) if isinstance(part, int) and str(part) in node else part
                if isinstance(key, int):
                    raise self._nowhere(tuple(route), key, node, made)
                route.append(key)
                made = made or key not in node
                node = node.get(key, {})
            elif isinstance(node, list) and isinstance(part, int) and part < len(node):
                route.append(part)
                node = node[part]
            else:
                raise self._nowhere(tuple(route), part, node, made)
        return tuple(route)

    def _nowhere(self, route: Path, part: str | int, node: Data, made: bool) -> ManifestError:
        where = dotted(route) or "the top"
        if made:
            held = "is not in the file, and"
        elif isinstance(node, list):
            held = f"is a list of {len(node)}, and"
        else:
            held = f"is {_short(node)}, and"
        fix = "replace the whole value at that place, or follow the structure of the file"
        if isinstance(node, list):
            fix = f"use a position from 0 to {len(node) - 1}, or replace the whole list"
        if isinstance(node, dict) and "repeat" in node:
            fix = "change the block inside the repeat: model.blocks.0.repeat.of.0.mixer.heads=8"
        return ManifestError(
            f"--set {self._text!r} leads nowhere: '{where}' {held} has no '{part}'",
            why="an override follows the structure of the file, before presets and repeats are written out",
            fix=fix,
            example="--set 'data.corpus={kind: text, files: [notes/*.txt]}'",
        )


def _short(node: Data) -> str:
    text = json.dumps(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
