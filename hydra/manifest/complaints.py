"""Turning the schema's complaints into errors a person can act on: line, nearest key, correct spelling."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from hydra.errors import ManifestError, nearest
from hydra.manifest.section import Section
from hydra.manifest.shape import siblings
from hydra.manifest.tree import Path, Tree, dotted

_UNKNOWN = "unknown keys are refused, because a typo would silently train another model"
_STRICT = "types are exact, so that nothing is converted behind your back"
_IMPOSSIBLE = "the setting is well-formed, but no model or run can be built from it"


def complaint(error: ValidationError, tree: Tree, root: type[Section]) -> ManifestError:
    """One error for all of a manifest's faults: the first decides the explanation, the rest are listed."""
    faults = [_Fault(item, tree, root) for item in error.errors(include_url=False)]
    first = faults[0]
    rest = "".join(f"\n  also: {fault.what}" for fault in faults[1:])
    return ManifestError(first.what + rest, why=first.why, fix=first.fix, example=first.example)


class _Fault:
    """One complaint of the schema in the four parts of an error."""

    def __init__(self, item: Any, tree: Tree, root: type[Section]) -> None:
        location: Path = tuple(item["loc"])
        path = _written(location, tree)
        origin = tree.origin(path)
        where = f" ({origin})" if origin else ""
        name = dotted(path) or "the manifest"
        kind = item["type"]
        if kind == "extra_forbidden":
            known = siblings(root, location)
            close = nearest(str(location[-1]), known)
            self.what = f"{dotted(path[:-1]) or 'the manifest'} has no field '{location[-1]}'{where}"
            self.why = _UNKNOWN
            self.fix = f"did you mean '{close}'?" if close else f"the fields here are {', '.join(known)}"
            self.example = f"{close or known[0]}: ..."
        elif kind == "missing":
            self.what = f"{name} is missing"
            self.why = "it has no default, because no value suits every run"
            self.fix = f"add '{location[-1]}' under '{dotted(path[:-1]) or 'the top'}'"
            self.example = f"{location[-1]}: ..."
        elif kind == "union_tag_invalid":
            given, known_kinds = item["ctx"]["tag"], item["ctx"]["expected_tags"]
            close = nearest(given, known_kinds.replace("'", "").split(", "))
            self.what = f"{name} has no kind '{given}'{where}"
            self.why = f"the kinds are {known_kinds}"
            self.fix = f"did you mean '{close}'?" if close else "use one of them"
            self.example = f"kind: {close or known_kinds.split(', ')[0]}"
        else:
            self._value(item, name, where)

    def _value(self, item: Any, name: str, where: str) -> None:
        message = item["msg"].removeprefix("Value error, ")
        given = item["input"]
        if item["type"] == "value_error":
            self.what, self.why = f"{name}: {message}{where}", _IMPOSSIBLE
            self.fix, self.example = "change one of the values named", "heads: 8, kv_heads: 2"
            return
        self.what, self.why = f"{name}: {message}, got {given!r}{where}", _STRICT
        self.fix, self.example = "write a value of that type", "steps: 400"
        if isinstance(given, str) and _is_number(given):
            written = f"{float(given):.1e}" if "." not in given else given
            self.fix = f"YAML reads {given} as text; write {written}, with a point and a sign, and without quotes"
            self.example = "lr: 1.0e-4"
        elif isinstance(given, bool):
            self.fix = "YAML reads yes, no, on and off as booleans; put text in quotes"
            self.example = 'name: "on"'


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _written(location: Path, tree: Tree) -> Path:
    """The location without the kind tags that the schema inserts and the file does not have."""
    path: list[str | int] = []
    for position, part in enumerate(location):
        here = tree.get(tuple(path))
        is_tag = isinstance(here, dict) and here.get("kind") == part and part not in here
        if is_tag and position > 0:
            continue
        path.append(part)
    return tuple(path)



