"""One complaint of the schema in the four parts of an error."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from hydra.errors import nearest
from hydra.manifest.complaints.wording import expectation, remedy
from hydra.manifest.flow import flow, short
from hydra.manifest.paths import Path, dotted
from hydra.manifest.section import Impossible, Section, kinds
from hydra.manifest.shape import SPELLINGS, Place, example, fields, sample
from hydra.manifest.tree import Tree
from hydra.manifest.whence import at, told

_UNKNOWN = "unknown keys are refused, because a typo would silently train another model"
_STRICT = "types are exact, so that nothing is converted behind your back"
_IMPOSSIBLE = "the setting is well-formed, but no model or run can be built from it"
_CONTAINERS = ("too_short", "too_long")


@dataclass(frozen=True)
class Fault:
    """What is wrong in one place. A lower rank is the likelier cause when several things are wrong at once."""

    rank: int
    path: Path
    what: str
    why: str
    fix: str
    example: str
    identity: object
    """Equal for the copies that a repeat makes of one mistake."""
    expected: str = ""
    counts_items: bool = False
    copies: int = 0

    def or_else(self, other: Fault) -> Fault:
        """The same place when a union's other member complains too."""
        if not self.expected or not other.expected or other.expected in self.expected:
            return self
        joined = f"{self.expected} or {other.expected.removeprefix('must be ')}"
        return dataclasses.replace(self, what=self.what.replace(self.expected, joined, 1), expected=joined)

    def again(self) -> Fault:
        """The same mistake seen once more, in another copy of the block."""
        before = f" [and {self.copies} more]" if self.copies else ""
        what = f"{self.what.removesuffix(before)} [and {self.copies + 1} more]"
        return dataclasses.replace(self, what=what, copies=self.copies + 1)


def fault_of(item: Any, where: Place, tree: Tree) -> Fault:
    """The fault that an item of pydantic's error list means."""
    kind = item["type"]
    if kind == "extra_forbidden":
        return _unknown(where, tree)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _kind(item, where, tree)
    if kind == "missing" and isinstance(item["loc"][-1], str):
        return _missing(where, tree)
    if kind == "value_error":
        return _impossible(item, where, tree)
    return _value(item, where, tree)


def _unknown(where: Place, tree: Tree) -> Fault:
    path, key = where.path, str(where.path[-1])
    pattern = ".".join("*" if isinstance(part, int) else part for part in path[:-1])
    known = [*fields(where.owner), *SPELLINGS.get(pattern, ())] if where.owner is not None else []
    close = nearest(key, known)
    example_of = example(where.owner, close) if where.owner is not None and close in fields(where.owner) else None
    return Fault(
        rank=0,
        path=path,
        what=f"{dotted(path[:-1]) or 'the manifest'} has no field '{key}'{at(tree.origin(path))}",
        why=_UNKNOWN,
        fix=f"did you mean '{close}'?" if close else f"the fields here are {', '.join(known)}",
        example=_line(example_of) if example_of else f"{close or known[0]}: ...",
        identity=("unknown", key, tree.origin(path)),
    )


def _kind(item: Any, where: Place, tree: Tree) -> Fault:
    assert where.slot is not None, "only slots have tags"
    known = list(kinds(where.slot))
    given = item["ctx"].get("tag")
    close = nearest(str(given), known) if given is not None else None
    path = (*where.path, "kind")
    fault = f"has no kind '{given}'" if given is not None else "names no kind"
    return Fault(
        rank=1,
        path=path,
        what=f"{dotted(where.path)} {fault}{at(tree.origin(path))}",
        why=f"the kinds are {', '.join(known)}",
        fix=f"did you mean '{close}'?" if close else "use one of them",
        example=_line({_last(where.path): {"kind": close or known[0]} | sample(kinds(where.slot)[close or known[0]])}),
        identity=("kind", given, tree.origin(path)),
    )


def _missing(where: Place, tree: Tree) -> Fault:
    assert where.owner is not None, "a missing field belongs to a section"
    above, key = where.path[:-1], str(where.path[-1])
    return Fault(
        rank=3,
        path=where.path,
        what=f"{dotted(where.path)} is missing{at(tree.origin(above))}",
        why="it has no default, because no value suits every run",
        fix=f"add '{key}' under '{dotted(above) or 'the top'}'",
        example=_line(example(where.owner, key)),
        identity=("missing", key, tree.origin(above)),
    )


def _impossible(item: Any, where: Place, tree: Tree) -> Fault:
    error = item["ctx"]["error"]
    name = f"{dotted(where.path)}: " if where.path else ""
    section = where.section if where.section is not None else where.owner
    message = f"{name}{error}{told(str(error), where.path, tree)}"
    plain_example = _line({_last(where.path): sample(section)}) if section is not None and where.path else "schema: 1"
    return Fault(
        rank=4,
        path=where.path,
        what=message,
        why=_IMPOSSIBLE,
        fix=error.fix if isinstance(error, Impossible) else "change one of the values named",
        example=error.example if isinstance(error, Impossible) else plain_example,
        identity=("impossible", str(error), tree.origin(where.path)),
    )


def _value(item: Any, where: Place, tree: Tree) -> Fault:
    given, expected = item["input"], expectation(item)
    own_example = _line(_example_at(where)) if where.owner is not None else "steps: 400"
    fix, shown = remedy(item, _last(where.path))
    return Fault(
        rank=2,
        path=where.path,
        what=f"{dotted(where.path) or 'the manifest'} {expected}, got {short(given)}{at(tree.origin(where.path))}",
        why=_STRICT,
        fix=fix,
        example=shown or own_example,
        identity=("value", item["type"], json.dumps(given), _last(where.path), tree.origin(where.path)),
        expected=expected,
        counts_items=item["type"] in _CONTAINERS,
    )


def _example_at(where: Place) -> dict[str, Any]:
    key = next((part for part in reversed(where.path) if part in fields(_known(where.owner))), None)
    return example(_known(where.owner), str(key)) if key is not None else sample(_known(where.owner))


def _known(section: type[Section] | None) -> type[Section]:
    assert section is not None
    return section


def _last(path: Path) -> str:
    return str(next((part for part in reversed(path) if isinstance(part, str)), "model"))


def _line(value: dict[str, Any]) -> str:
    return flow(value)[1:-1]
