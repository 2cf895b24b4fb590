"""JSON Schemas of what `--json` prints, one for each answer of a command (`fleet config schema --outputs`)."""

from __future__ import annotations

from typing import Any, Final

from fleet.cli.envelope import VERSION
from fleet.cli.output_fields import DATA, EACH, LINES, Notation

_ERROR: Final = {"host": "string?", "code": "integer", "kind": "string", "message": "string", "hint": "string"}


def schemas() -> dict[str, Any]:
    """Name of a schema -> JSON Schema of the object, or of each line, that a command prints under that name."""
    objects = {f"fleet.{name}/{VERSION}": _enveloped(name, data) for name, data in DATA.items()}
    lines = {f"fleet.{name}/{VERSION}": {"anyOf": [schema(one) for one in kinds]} for name, kinds in LINES.items()}
    return objects | lines


def schema(notation: Notation) -> dict[str, Any]:
    """The JSON Schema that a notation of `output_fields` stands for."""
    if isinstance(notation, str):
        return _scalar(notation)
    if isinstance(notation, list):
        return {"type": "array", "items": schema(notation[0])}
    if isinstance(notation, tuple):
        return {"anyOf": [schema(one) for one in notation]}
    if EACH in notation:
        return {"type": "object", "additionalProperties": schema(notation[EACH])}
    fields = {name: schema(one) for name, one in notation.items()}
    return {"type": "object", "required": list(fields), "properties": fields}


def _scalar(name: str) -> dict[str, Any]:
    if name == "any":
        return {}
    types = [*name.removesuffix("?").split("|"), *(["null"] if name.endswith("?") else [])]
    return {"type": types[0] if len(types) == 1 else types}


def _enveloped(name: str, data: Notation) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["schema", "ok", "data", "errors"],
        "properties": {
            "schema": {"const": f"fleet.{name}/{VERSION}"},
            "ok": {"type": "boolean"},
            "data": {"anyOf": [schema(data), {"type": "null"}]},
            "errors": {"type": "array", "items": schema(_ERROR)},
            "warnings": {"type": "array", "items": {"type": "string"}},
        },
    }
