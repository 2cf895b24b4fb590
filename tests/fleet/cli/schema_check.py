"""A checker for the part of JSON Schema that the published schemas use."""

from __future__ import annotations

from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KNOWN = {"type", "required", "properties", "additionalProperties", "items", "anyOf", "const"}


def faults(value: Any, schema: dict[str, Any], place: str = "$") -> list[str]:
    """Everything in which a value is not what the schema says; nothing if it is."""
    assert schema.keys() <= _KNOWN, f"this checker does not know {schema.keys() - _KNOWN}"
    if "const" in schema and value != schema["const"]:
        return [f"{place}: {value!r} is not {schema['const']!r}"]
    if "anyOf" in schema:
        tries = [faults(value, one, place) for one in schema["anyOf"]]
        return [] if any(not found for found in tries) else min(tries, key=len)
    if "type" in schema and not _is(value, schema["type"]):
        return [f"{place}: {value!r} is not of type {schema['type']}"]
    found = []
    if isinstance(value, dict):
        found += [f"{place}: {name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            found += faults(item, inner, f"{place}.{name}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += faults(item, schema.get("items", {}), f"{place}[{number}]")
    return found


def _is(value: Any, types: str | list[str]) -> bool:
    names = [types] if isinstance(types, str) else types
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, _TYPES[name]) for name in names)
