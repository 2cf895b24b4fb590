"""Scalars of YAML 1.1, without its traps.

YAML 1.1 reads `010` as eight, `1:30` as ninety and `2026-01-31` as a date. Nobody means that in a manifest, so each of
them is an error that says what to write. `1e-4` is text in YAML 1.1 and `no` is a boolean; those are left to the
schema, which knows whether text or a boolean was wanted.
"""

from __future__ import annotations

import re

import yaml

from hydra.manifest.plain import scalar_fault
from hydra.manifest.tree import Scalar

_TAG = "tag:yaml.org,2002:"
MERGE = f"{_TAG}merge"
_TRUE = frozenset({"yes", "true", "on"})
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
# Python refuses longer decimals with an error of its own (int_max_str_digits), and no setting is near it.
_MAX_DIGITS = 400


class Misread(Exception):
    """A scalar whose meaning in YAML is not what its writer meant; carries the remedy."""

    def __init__(self, fault: str, fix: str, example: str) -> None:
        super().__init__(fault)
        self.fix, self.example = fix, example


def scalar(node: yaml.ScalarNode) -> Scalar:
    """The value of a scalar node. Raises Misread for octal, sexagesimal and non-finite numbers, dates and the like."""
    kind, text = node.tag.removeprefix(_TAG), str(node.value)
    value: Scalar
    if kind == "str":
        value = characters(node)
    elif kind == "null":
        value = None
    elif kind == "bool":
        value = text.lower() in _TRUE
    elif kind == "int":
        value = _integer(text)
    elif kind == "float":
        value = _number(text)
    else:
        raise Misread(f"is {text}, which YAML reads as a {kind}", "put it in quotes if it is text", f'notes: "{text}"')
    fault = scalar_fault(value)
    if fault is not None:
        raise Misread(fault, "write a finite number of ordinary size, or null where a field allows it", "clip: null")
    return value


def characters(node: yaml.ScalarNode) -> str:
    """A scalar's text; JSON's two escapes for one character beyond U+FFFF become that character.

    YAML takes them for two halves, so a JSON file with an emoji would read as something that is no text.
    """
    text = str(node.value)
    if text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _integer(text: str) -> int:
    if _OCTAL.fullmatch(text):
        plain = text.replace("_", "").lstrip("+-0") or "0"
        fix = "leave the leading zero away, or put it in quotes if it is text"
        raise Misread(f"is {text}, which YAML reads as octal", fix, f"steps: {plain}")
    _refuse_sexagesimal(text)
    if len(text) > _MAX_DIGITS:
        raise Misread(f"is an integer of {len(text)} digits", "write a number of ordinary size", "steps: 400")
    return int(text.replace("_", ""), 0)


def _number(text: str) -> float:
    _refuse_sexagesimal(text)
    # YAML writes .inf and .nan where Python writes inf and nan.
    bare = text.replace("_", "").lower()
    return float(bare.replace(".inf", "inf").replace(".nan", "nan"))


def _refuse_sexagesimal(text: str) -> None:
    if ":" in text:
        raise Misread(f"is {text}, which YAML reads in base 60", "put it in quotes if it is text", f'notes: "{text}"')
