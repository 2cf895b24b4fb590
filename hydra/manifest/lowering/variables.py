"""Variables: `"${width}"` takes the value of `vars.width`. No expressions, no environment."""

from __future__ import annotations

import re

from hydra.errors import ManifestError, nearest
from hydra.manifest.tree import Data, Path, Scalar, Tree, dotted

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: Filled by `repeat`, not by `vars`.
INDEX = "index"


def substitute(tree: Tree) -> Tree:
    """The tree with every reference replaced and `vars` removed. Errors: an unknown or an unused variable."""
    variables = tree.data.get("vars")
    if not isinstance(variables, dict):
        variables = {}
    result = tree.copy()
    used: set[str] = set()
    for key in list(result.data):
        if key != "vars":
            result.data[key] = _replace(result.data[key], (key,), variables, used)
    unused = sorted(set(variables) - used)
    if unused:
        raise ManifestError(
            f"vars.{unused[0]} is never used",
            why="a variable without effect is usually a misspelt one",
            fix=f'refer to it as "${{{unused[0]}}}" or remove it',
            example='vars: {width: 512}\nmodel: {width: "${width}"}',
        )
    result.drop(("vars",))
    return result


def replace_index(node: Data, index: int) -> Data:
    """A repeated item with `${index}` filled in."""
    if isinstance(node, dict):
        return {key: replace_index(value, index) for key, value in node.items()}
    if isinstance(node, list):
        return [replace_index(value, index) for value in node]
    if isinstance(node, str):
        return index if node == f"${{{INDEX}}}" else node.replace(f"${{{INDEX}}}", str(index))
    return node


def _replace(node: Data, path: Path, variables: dict[str, Data], used: set[str]) -> Data:
    if isinstance(node, dict):
        return {key: _replace(value, (*path, key), variables, used) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace(value, (*path, index), variables, used) for index, value in enumerate(node)]
    if not isinstance(node, str):
        return node
    whole = _REFERENCE.fullmatch(node)
    if whole and whole.group(1) != INDEX:
        return _look_up(whole.group(1), path, variables, used)
    return _REFERENCE.sub(
        lambda found: (
            found.group(0) if found.group(1) == INDEX else str(_look_up(found.group(1), path, variables, used))
        ),
        node,
    )


def _look_up(name: str, path: Path, variables: dict[str, Data], used: set[str]) -> Scalar:
    value = variables.get(name)
    if name not in variables or isinstance(value, dict | list):
        close = nearest(name, variables)
        raise ManifestError(
            f"{dotted(path)} refers to '${{{name}}}', and vars has no such value",
            why="a reference without a value cannot be filled in",
            fix=f"did you mean '${{{close}}}'?" if close else f"add vars.{name}",
            example='vars: {width: 512}\nmodel: {width: "${width}"}',
        )
    used.add(name)
    return value
