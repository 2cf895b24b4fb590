"""The schema as something to walk: which fields a section has, and what lies inside a field.

Error messages look here for the nearest right key, and the generated documentation for every key there is.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hydra.manifest.paths import Path
from hydra.manifest.section import Section, Slot, kinds
from hydra.manifest.tree import Tree

#: How the description of a field says that lowering fills it in.
INFERRED = "inferred when absent"
#: Keys that people may write and lowering replaces: dotted place (`*` for a list position) -> keys.
SPELLINGS = {"data": ("corpus",), "model": ("preset",), "model.blocks.*": ("repeat",)}


@dataclass(frozen=True)
class Inside:
    """What a field holds below itself: one section class, or a slot's kinds; `many` when it is a list of them."""

    section: type[Section] | None
    slot: str | None
    many: bool


@dataclass(frozen=True)
class Place:
    """Where a location of the schema lies in the data."""

    path: Path
    owner: type[Section] | None
    """The section that the last key of the path belongs to."""
    section: type[Section] | None
    """The section that stands at the path itself; None for a plain value or an undecided kind."""
    slot: str | None
    """The slot that stands at the path while its kind is undecided."""


def fields(section: type[Section]) -> dict[str, FieldInfo]:
    """Field name as written in files -> pydantic's description of it."""
    return {info.alias or name: info for name, info in section.model_fields.items()}


def inside(info: FieldInfo) -> Inside | None:
    """What lies inside a field, or None for plain values."""
    for note in info.metadata:
        if isinstance(note, Slot):
            return Inside(None, note.name, many=False)
    return _unwrap(info.annotation)


def is_inferred(info: FieldInfo) -> bool:
    """Whether lowering fills the field in when a file leaves it out."""
    return info.is_required() and INFERRED in (info.description or "")


def place(root: type[Section], location: tuple[str | int, ...], tree: Tree) -> Place:
    """The place that pydantic's location of an error means.

    Locations also hold kind tags and the labels of a union's members, which no file has; those are left out.
    """
    path: list[str | int] = []
    owner: type[Section] | None = None
    section: type[Section] | None = root
    slot: str | None = None
    for part in location:
        if isinstance(part, int):
            path.append(part)
        elif slot is not None and part in kinds(slot):
            section, slot = kinds(slot)[part], None
        elif section is not None:
            owner = section
            path.append(part)
            info = fields(section).get(part)
            found = inside(info) if info is not None else None
            section, slot = (found.section, found.slot) if found else (None, None)
        elif tree.has((*path, part)):
            path.append(part)
    return Place(tuple(path), owner, section, slot)


def example(section: type[Section], key: str) -> dict[str, Any]:
    """One field with a value that it accepts."""
    info = fields(section)[key]
    below = inside(info)
    if info.examples:
        return {key: info.examples[0]}
    if below is not None:
        name = next(iter(kinds(below.slot))) if below.slot is not None else ""
        content = {"kind": name} | sample(kinds(below.slot)[name]) if below.slot else sample(below.section or section)
        return {key: [content] if below.many else content}
    default = info.get_default(call_default_factory=True) if not info.is_required() else None
    if default is not None:
        return {key: default}
    return {key: _of_type(info)}


def sample(section: type[Section]) -> dict[str, Any]:
    """A section with its required fields and nothing else."""
    found: dict[str, Any] = {}
    for key, info in fields(section).items():
        if key == "kind":
            found[key] = typing.get_args(info.annotation)[0]
        elif info.is_required() and not is_inferred(info):
            found |= example(section, key)
    return found


def _of_type(info: FieldInfo) -> object:
    least = max((note.ge for note in info.metadata if getattr(note, "ge", None) is not None), default=0)
    written = str(info.annotation)
    if "tuple" in written:
        return ["notes/*.txt"]
    for name, value in (("int", max(8, least)), ("float", 1e-3), ("bool", True)):
        if name in written:
            return value
    return "name"


def _unwrap(annotation: Any, many: bool = False) -> Inside | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Inside(typing.cast("type[Section]", annotation), None, many)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        slots = [note.name for note in arguments[1:] if isinstance(note, Slot)]
        return Inside(None, slots[0], many) if slots else _unwrap(arguments[0], many)
    if origin is tuple:
        return _unwrap(arguments[0], many=True)
    if origin in (typing.Union, types.UnionType):
        found = [_unwrap(argument, many) for argument in arguments]
        return next((one for one in found if one is not None), None)
    return None
