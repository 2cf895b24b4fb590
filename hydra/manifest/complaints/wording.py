"""What a field wants, in words, and what to write instead of what YAML misread."""

from __future__ import annotations

import math
import re
from typing import Any

from hydra.errors import nearest
from hydra.manifest.flow import number

_EXPECTED = {
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping of settings",
    "model_attributes_type": "must be a mapping of settings",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be lower-case letters, digits and hyphens, 40 at most, no hyphen at either end",
}
_NUMBERS = ("int_type", "int_from_float", "float_type", "greater_than", "greater_than_equal")


def expectation(item: Any) -> str:
    """`must be ...` for one item of pydantic's error list."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "literal_error":
        return f"must be {_choices(context['expected'])}"
    if kind == "too_short":
        return f"needs at least {_items(context['min_length'])}"
    if kind == "too_long":
        return f"takes at most {_items(context['max_length'])}"
    if kind == "missing":
        return "needs more items"
    message = str(item["msg"]).replace("Input should be", "must be")
    return _EXPECTED.get(kind, message)


def remedy(item: Any, key: str) -> tuple[str, str | None]:
    """What to do about a value, and an example if the value itself suggests one."""
    given = item["input"]
    if item["type"] == "literal_error":
        known = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        if isinstance(given, bool):
            return "YAML reads yes, no, on and off as booleans; put text in quotes", f'{key}: "{known[-1]}"'
        close = nearest(given, known) if isinstance(given, str) else None
        return (f"did you mean '{close}'?" if close else "use one of them"), f"{key}: {close or known[0]}"
    if isinstance(given, str) and item["type"] in _NUMBERS:
        spelt = respelt(given, integer=item["type"].startswith("int"))
        if spelt is not None:
            note = ", with a point and a signed exponent" if "e" in spelt else ""
            note = ", without quotes" if _reads_as_number(given) else note
            return f"YAML reads {given} as text here; write {spelt}{note}", f"{key}: {spelt}"
    if isinstance(given, bool) and item["type"] == "string_type":
        return "YAML reads yes, no, on and off as booleans; put text in quotes", f'{key}: "on"'
    if isinstance(given, int | float) and item["type"] == "string_type":
        return "put it in quotes if it is text", f'{key}: "{given}"'
    if isinstance(given, float) and item["type"].startswith("int") and given.is_integer():
        return "write it without a point", f"{key}: {int(given)}"
    return "write a value of that type", None


def respelt(text: str, *, integer: bool) -> str | None:
    """A number that YAML took for text, as YAML 1.1 wants it written; None if it is no such number."""
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    if integer:
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else None
    return number(value)


def _reads_as_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*([eE][-+][0-9]+)?)?", text) is not None


def _choices(expected: str) -> str:
    return expected.replace("'", "")


def _items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"
