"""A JSON schema for editors: completion and warnings while a manifest is typed.

The manifest's own schema describes the lowered form. People write more: one rule without a list, `preset`, `repeat`,
references to variables, and fewer fields, since lowering infers sizes. This schema takes what the loader takes as far
as JSON schema can say it; the loader has the last word.
"""

from __future__ import annotations

import copy
from typing import Any

from hydra.manifest.lowering.expand import preset_table
from hydra.manifest.registrations import KINDS
from hydra.manifest.root import Manifest
from hydra.manifest.section import Section, kinds
from hydra.manifest.sections import Block, Comparison, Data, Model, Training
from hydra.manifest.shape import fields, is_inferred

_REFERENCE = {"$ref": "#/$defs/Reference"}
_SCALARS = ("integer", "number", "boolean")


def json_schema() -> dict[str, Any]:
    """The schema, draft 2020-12, without references to anything outside it."""
    schema = Manifest.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    _drop_inferred(definitions)
    _add_spellings(schema, definitions)
    for part in (schema, *definitions.values()):
        for key, field in part.get("properties", {}).items():
            if key not in ("kind", "schema"):
                part["properties"][key] = _with_references(field)
    definitions["Reference"] = {"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Hydra manifest"}


def _drop_inferred(definitions: dict[str, Any]) -> None:
    """What lowering fills in is not required of a file."""
    sections: list[type[Section]] = [Block, Comparison, Data, Model, Training]
    for slot in KINDS:
        sections += kinds(slot).values()
    for section in sections:
        inferred = {key for key, info in fields(section).items() if is_inferred(info)}
        definition = definitions[section.__name__]
        definition["required"] = [key for key in definition.get("required", []) if key not in inferred]


def _add_spellings(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Shorthands, presets and repeats."""
    data, model = definitions["Data"], definitions["Model"]
    corpus = copy.deepcopy(definitions["Source"]["properties"]["corpus"])
    _or_else(data, ["sources"], "corpus", corpus)
    preset = {"enum": sorted(preset_table()), "description": "a shape by name; keys beside it change it"}
    _or_else(model, ["width", "blocks"], "preset", preset)
    items = {"anyOf": [{"$ref": "#/$defs/Block"}, {"$ref": "#/$defs/Repeat"}]}
    model["properties"]["blocks"]["items"] = items
    definitions["Repeat"] = _repeat(items)
    for key in ("optimizer", "seeds"):
        listed = schema["properties"][key]
        described = {"description": listed.pop("description", "")}
        schema["properties"][key] = described | {"anyOf": [listed, listed["items"]]}


def _or_else(section: dict[str, Any], required: list[str], other: str, schema: dict[str, Any]) -> None:
    """Some keys are required, or instead of them another one, which has this schema."""
    section["properties"][other] = schema
    section["required"] = [key for key in section["required"] if key not in required]
    section["anyOf"] = [{"required": required}, {"required": [other]}]


def _repeat(items: dict[str, Any]) -> dict[str, Any]:
    count = {"anyOf": [{"type": "integer", "minimum": 1}, _REFERENCE]}
    listed = {"type": "array", "minItems": 1, "items": items}
    return _exact({"repeat": _exact({"count": count, "of": listed})})


def _exact(properties: dict[str, Any]) -> dict[str, Any]:
    """A mapping of exactly these keys."""
    required = list(properties)
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _with_references(field: dict[str, Any]) -> dict[str, Any]:
    """A scalar field may also be a reference to a variable; free text takes one anyway."""
    takes_text = field.get("type") == "string" and "enum" not in field and "pattern" not in field
    options = field.get("anyOf", [])
    is_scalar = field.get("type") in (*_SCALARS, "string") or any(option.get("type") in _SCALARS for option in options)
    if takes_text or not is_scalar:
        return field
    kept = {key: field[key] for key in ("description", "default", "examples") if key in field}
    bare = {key: value for key, value in field.items() if key not in (*kept, "title")}
    return kept | {"anyOf": [*(options or [bare]), _REFERENCE]}
