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

from hydra.manifest.section import Section, Slot, kinds


@dataclass(frozen=True)
class Inside:
    """What a field holds below itself: one section class, or a slot's kinds; `many` when it is a list of them."""

    section: type[Section] | None
    slot: str | None
    many: bool


def fields(section: type[Section]) -> dict[str, FieldInfo]:
    """Field name as written in files -> pydantic's description of it."""
    return {info.alias or name: info for name, info in section.model_fields.items()}


def inside(info: FieldInfo) -> Inside | None:
    """What lies inside a field, or None for plain values."""
    for note in info.metadata:
        if isinstance(note, Slot):
            return Inside(None, note.name, many=False)
    return _unwrap(info.annotation)


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


def siblings(root: type[Section], location: tuple[str | int, ...]) -> list[str]:
    """The keys that are valid where the last part of an error's location stands."""
    section: type[Section] | None = root
    slot: str | None = None
    for part in location[:-1]:
        if slot is not None:
            section, slot = kinds(slot).get(str(part), section), None
            if part in kinds_of(section):
                continue
        if isinstance(part, int) or section is None:
            continue
        info = fields(section).get(part)
        found = inside(info) if info is not None else None
        if found is None:
            continue
        section, slot = found.section, found.slot
        if slot is not None:
            classes = set(kinds(slot).values())
            if len(classes) == 1:
                section, slot = next(iter(classes)), None
    return list(fields(section)) if section is not None else []


def kinds_of(section: type[Section] | None) -> tuple[str, ...]:
    """The values that a kind's `kind` field may have."""
    if section is None or "kind" not in section.model_fields:
        return ()
    return tuple(str(value) for value in typing.get_args(section.model_fields["kind"].annotation))
