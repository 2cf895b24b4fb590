"""What the schema refuses, in the words of somebody who has to correct the file."""

from __future__ import annotations

import re
import typing
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError

from fleet.inventory.document import Defaults, Document, Instance
from fleet.inventory.faults import Faults, closest, known, shown
from fleet.inventory.field_types import Expected
from fleet.inventory.located import Path

_OBJECT = Expected("an object in braces")


def check_schema(data: Any, faults: Faults) -> None:
    """Hold the data against the schema."""
    try:
        Document.model_validate(data)
    except ValidationError as error:
        seen: set[Path] = set()
        for item in error.errors(include_url=False, include_context=False):
            place = _Place(item["loc"])
            if place.path not in seen:
                seen.add(place.path)
                faults.add(place.path, _told(item["type"], place, item["input"]))


class _Place:
    """Follows the location of an error through the schema to the place in the file that a person has to change.

    Locations also name the members of a union, which no file has: a union is one place.
    """

    def __init__(self, location: tuple[int | str, ...]) -> None:
        self.path: Path = ()
        self.owner: type[BaseModel] | None = None  # the object that the last key of the path belongs to
        self.of_key = location[-1:] == ("[key]",)
        """Whether a key itself is wrong, not its value."""
        annotation, notes = _bare(Document)
        for index, part in enumerate(location[:-1] if self.of_key else location):
            below = self._below(annotation, part, last=index == len(location) - 2)
            if below is None:
                break
            annotation, notes = below
            self.path = (*self.path, part)
        self.expected = next((note for note in notes if isinstance(note, Expected)), _OBJECT)

    def _below(self, annotation: Any, part: int | str, *, last: bool) -> tuple[Any, list[Any]] | None:
        """The type of what stands under a key or at an index; None for a type that has nothing below."""
        self.owner = None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            self.owner = annotation
            info = annotation.model_fields.get(str(part))
            return (info.annotation, info.metadata) if info is not None else (Any, [])
        if typing.get_origin(annotation) is dict:
            return _bare(typing.get_args(annotation)[0 if self.of_key and last else 1])
        if typing.get_origin(annotation) is list:
            return _bare(typing.get_args(annotation)[0])
        return None


def _bare(annotation: Any) -> tuple[Any, list[Any]]:
    if typing.get_origin(annotation) is Annotated:
        inner, *notes = typing.get_args(annotation)
        return inner, notes
    return annotation, []


def _told(kind: str, place: _Place, found: Any) -> str:
    words = place.expected.words
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "missing":
        return f"missing; expected {words}"
    if place.of_key:
        return f"expected {words}"
    if place.expected.secret:
        return f"found {_sort(found)}; expected {words}"
    return f"found {shown(found)}; expected {words}{_hint(kind, found, words)}"


def _unknown_key(place: _Place) -> str:
    key, owner = str(place.path[-1]), place.owner
    assert owner is not None, "only objects with known keys refuse others"
    if owner is Defaults and key in Instance.model_fields:
        return "belongs to an instance, not to the defaults"
    close = closest(key, owner.model_fields)
    return f'unknown key; did you mean "{close}"?' if close else f"unknown key; {known(owner.model_fields)}"


def _hint(kind: str, found: Any, words: str) -> str:
    if isinstance(found, str) and re.fullmatch(r"[0-9]+", found) and not kind.startswith("string"):
        return "; write it without quotes"
    if isinstance(found, str) and "@" in found and words.startswith("a host name"):
        return '; put the login into "user"'
    if isinstance(found, str) and found.count(":") == 1 and words.startswith("a host name"):
        return '; put the port into "port"'
    choices = re.findall(r'"([^"]+)"', words) if kind == "literal_error" else []
    close = closest(found, choices) if isinstance(found, str) else None
    return f'; did you mean "{close}"?' if close else ""


def _sort(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number", str: "text"}
    return names.get(type(value), "null")
