"""Variables: `"${width}"` takes the value of `vars.width`. No expressions, no environment, no escape.

Text that begins a reference, `${`, is always a reference. A manifest therefore cannot hold those two characters for any
other purpose, and in return a lowered manifest means the same when it is lowered again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hydra.errors import ManifestError, nearest
from hydra.manifest.paths import Path, dotted
from hydra.manifest.tree import Data, Scalar, Tree, leaves

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(r"\$\{(" + _NAME + r")\}")
#: Filled by `repeat`, not by `vars`.
INDEX = "index"
_INDEX = f"${{{INDEX}}}"
_EXAMPLE = '{vars: {width: 512}, model: {width: "${width}"}}'


def substitute(tree: Tree, used: set[str]) -> Tree:
    """The tree with every reference replaced and `vars` removed; names that were looked up are added to `used`.

    Raises ManifestError for an unknown variable, a malformed reference, or `vars` that are not plain values.
    """
    variables = _variables(tree)
    result = tree.copy()
    for key in list(result.data):
        if key != "vars":
            result.data[key] = _Substitution(result, variables, used).of(result.data[key], (key,))
    result.drop(("vars",))
    return result


def check_used(trees: Iterable[Tree], used: set[str]) -> None:
    """Raise ManifestError for a variable that no run of the manifest refers to."""
    for tree in trees:
        for name in _variables(tree):
            if name not in used:
                raise _refused(
                    f"vars.{name} is never used ({tree.origin(('vars', name))})",
                    "a variable without effect is usually a misspelt one",
                    f'refer to it as "${{{name}}}" or remove it',
                )


def replace_index(node: Data, index: int) -> Data:
    """A repeated item with `${index}` filled in; a repeat inside it keeps its own."""
    if isinstance(node, dict):
        return {key: value if key == "repeat" else replace_index(value, index) for key, value in node.items()}
    if isinstance(node, list):
        return [replace_index(value, index) for value in node]
    if isinstance(node, str):
        return index if node == _INDEX else node.replace(_INDEX, str(index))
    return node


def check_index(tree: Tree) -> None:
    """Raise ManifestError for an `${index}` that no repeat has filled."""
    for path, value in leaves(tree.data):
        if isinstance(value, str) and _INDEX in value:
            raise _refused(
                f"{dotted(path)} refers to '{_INDEX}' outside a repeat ({tree.origin(path)})",
                "it counts the turns of the repeat that it stands in",
                "use it below 'of:', or name a variable of vars",
            )


def _variables(tree: Tree) -> dict[str, Data]:
    variables = tree.data.get("vars", {})
    origin = tree.origin(("vars",))
    if not isinstance(variables, dict):
        raise _refused(f"vars is no mapping ({origin})", "each variable has a name", "write name: value below vars")
    for name, value in variables.items():
        fault = None
        if not re.fullmatch(_NAME, name) or name == INDEX:
            fault = "is no name for a variable" if name != INDEX else "is taken: repeat fills it"
        elif isinstance(value, dict | list) or value is None:
            fault = "is not text, a number or a boolean"
        elif isinstance(value, str) and "${" in value:
            fault = "refers to another variable"
        if fault is not None:
            raise _refused(
                f"vars.{dotted((name,))} {fault} ({tree.origin(('vars', name))})",
                "variables are plain values with plain names, so that each reference can be read in one step",
                "use letters, digits and underscores for the name and one scalar for the value",
            )
    return variables


class _Substitution:
    def __init__(self, tree: Tree, variables: dict[str, Data], used: set[str]) -> None:
        self._tree, self._variables, self._used = tree, variables, used

    def of(self, node: Data, path: Path) -> Data:
        if isinstance(node, dict):
            return {key: self.of(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [self.of(value, (*path, index)) for index, value in enumerate(node)]
        return self._text(node, path) if isinstance(node, str) and "${" in node else node

    def _text(self, text: str, path: Path) -> Data:
        if "${" in _REFERENCE.sub("", text):
            raise _refused(
                f"{dotted(path)} holds {text!r}, which is no reference ({self._tree.origin(path)})",
                "'${' always begins a reference, and this one has no end or no plain name",
                "write the variable's name between '${' and '}'",
            )
        whole = _REFERENCE.fullmatch(text)
        if whole and whole.group(1) != INDEX:
            return self._look_up(whole.group(1), path)
        return _REFERENCE.sub(lambda found: self._inserted(found, path), text)

    def _inserted(self, found: re.Match[str], path: Path) -> str:
        if found.group(1) == INDEX:
            return found.group(0)
        value = self._look_up(found.group(1), path)
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _look_up(self, name: str, path: Path) -> Scalar:
        if name not in self._variables:
            close = nearest(name, self._variables)
            raise _refused(
                f"{dotted(path)} refers to '${{{name}}}', and vars has no such value ({self._tree.origin(path)})",
                "a reference without a value cannot be filled in",
                f"did you mean '${{{close}}}'?" if close else f"add vars.{name}",
            )
        self._used.add(name)
        value = self._variables[name]
        assert not isinstance(value, dict | list)
        return value


def _refused(what: str, why: str, fix: str) -> ManifestError:
    return ManifestError(what, why=why, fix=fix, example=_EXAMPLE)
