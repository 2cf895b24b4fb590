"""`--set a.b=c`: changes from the command line, applied to the file before anything else looks at it."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.errors import ManifestError
from hydra.manifest import source
from hydra.manifest.tree import Data, Path, Tree


def parse_path(text: str) -> Path:
    """`model.blocks.0.mixer` as a path; numbers are list positions."""
    return tuple(int(part) if part.isdigit() else part for part in text.split("."))


def apply(tree: Tree, overrides: Sequence[str]) -> Tree:
    """The tree with every `path=value` set, in order. Errors: no `=`, or a path through something that is no container."""
    result = tree.copy()
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ManifestError(
                f"--set {text!r} is not of the form path=value",
                why="an override names one setting and its new value",
                fix="join the dotted path and the value with '='",
                example="--set training.steps=50",
            )
        path = parse_path(name.strip())
        _check_route(result, path, text)
        result.put(path, source.value(value), f"--set {text}")
    return result


def _check_route(tree: Tree, path: Path, text: str) -> None:
    node: Data = tree.data
    for position, part in enumerate(path):
        last = position == len(path) - 1
        if isinstance(node, dict) and isinstance(part, str):
            if last or part not in node:
                return
            node = node[part]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            held = f"a list of {len(node)}" if isinstance(node, list) else f"{node!r}"
            where = ".".join(str(step) for step in path[:position]) or "the top"
            raise ManifestError(
                f"--set {text!r} leads nowhere: '{where}' is {held}, and has no '{part}'",
                why="an override follows the structure of the file",
                fix="replace the whole value at that place, or use a position inside the list",
                example="--set 'data.corpus={kind: text, files: [notes/*.txt]}'",
            )
