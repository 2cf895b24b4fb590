"""Values as YAML on one line, spelt so that YAML 1.1 reads them back as they were.

Messages, examples and the documentation show values this way, so whatever is shown can be pasted into a manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./*-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def flow(value: object) -> str:
    """`{kind: wsd, warmup_steps: 20}`, `1.0e-08`, `"on"`: one value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(key))}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else _quoted(value)
    if isinstance(value, float):
        return number(value)
    return json.dumps(value)


def number(value: float) -> str:
    """A float with a point and a signed exponent: YAML 1.1 reads `1e-08` as text."""
    mantissa, exponent, power = repr(value).partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{exponent}{power}" if exponent else mantissa


def _quoted(text: str) -> str:
    # Not as plain JSON: YAML takes JSON's two escapes for one rare character as two characters.
    return "".join(
        letter
        if letter.isprintable()
        else json.dumps(letter)[1:-1]
        if ord(letter) < 0x10000
        else f"\\U{ord(letter):08x}"
        for letter in json.dumps(text, ensure_ascii=False)
    )


def short(value: object, limit: int = 60) -> str:
    """The same, cut where it would fill the screen."""
    text = flow(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
