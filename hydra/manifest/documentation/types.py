"""Types and defaults of fields in words, out of the JSON schema that pydantic derives from them."""

from __future__ import annotations

from typing import Any

from pydantic.fields import FieldInfo

from hydra.manifest.flow import flow
from hydra.manifest.shape import Inside

_NAMES = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false", "null": "`null`"}
_BOUNDS = (("exclusiveMinimum", ">"), ("minimum", "≥"), ("exclusiveMaximum", "<"), ("maximum", "≤"))


def type_text(schema: dict[str, Any], found: Inside | None) -> str:
    """What a field takes: `integer > 0`, `auto, cpu or cuda`, `list of text`, `section`."""
    if found is not None:
        single = f"kind of {found.slot}" if found.slot is not None else "section"
        plural = f"list of kinds of {found.slot}" if found.slot is not None else "list of sections"
        allows_null = any(option.get("type") == "null" for option in schema.get("anyOf", ()))
        return (plural if found.many else single) + (" or `null`" if allows_null else "")
    return _of(schema)


def default_text(info: FieldInfo) -> str:
    """A field's default as it would be written, or `required`."""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    # A section has a table of its own, which shows its defaults.
    return "as below" if hasattr(value, "model_fields_set") else f"`{flow(value)}`"


def _of(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_of(option) for option in schema["anyOf"])
    if "const" in schema:
        return f"`{flow(schema['const'])}`"
    if "enum" in schema:
        *others, last = (f"`{flow(value)}`" for value in schema["enum"])
        return f"{', '.join(others)} or {last}" if others else last
    kind = schema.get("type")
    if kind == "array":
        return _list(schema)
    if kind == "object":
        return _mapping(schema)
    bounds = [f"{sign} {flow(schema[key])}" for key, sign in _BOUNDS if key in schema]
    name = "name" if "pattern" in schema else _NAMES[str(kind)]
    return " ".join([name, *([", ".join(bounds)] if bounds else [])])


def _list(schema: dict[str, Any]) -> str:
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {', '.join(_of(item) for item in schema['prefixItems'])}"
    least = schema.get("minItems", 0)
    return f"list of {_of(schema['items'])}" + (f", {least} or more" if least else "")


def _mapping(schema: dict[str, Any]) -> str:
    values = schema.get("additionalProperties", True)
    if "patternProperties" in schema:
        values = next(iter(schema["patternProperties"].values()))
        return "mapping of names to " + (_of(values) if values.get("additionalProperties") is not True else "settings")
    return "settings" if values is True else f"mapping of text to {_of(values)}"
