"""Values that hosts and runs wrote, taken for what they are worth: what is not a number is None, never an error."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final, NoReturn

#: How files of a run write the numbers that JSON has no word for.
_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SHOWN: Final = 400


def word(number: float | None) -> float | str | None:
    """A number for JSON: itself, or the word for NaN and the infinities."""
    if number is None or math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")


def rounded(number: float | None, digits: int = 1) -> float | None:
    """A finite number with so many decimals, for JSON that people read."""
    return None if number is None or not math.isfinite(number) else round(number, digits)


def printable(text: str) -> str:
    """Text from a host as it may be shown: control characters visible, one line, not endless."""
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."


def whole(value: object) -> int | None:
    """A whole number of JSON that fits 64 bits."""
    fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    return value if fits and isinstance(value, int) else None


def real(value: object) -> float | None:
    """A number of JSON, or one of the words for numbers that JSON does not have."""
    if isinstance(value, str):
        return _WORDS.get(value)
    if isinstance(value, float):
        return value
    number = whole(value)
    return None if number is None else float(number)


def finite(value: object) -> float | None:
    """The same, but None for NaN and the infinities: for times, ages and counts."""
    number = real(value)
    return number if number is not None and math.isfinite(number) else None


def text(value: object) -> str | None:
    """A text of JSON, as it may be shown."""
    return printable(value) if isinstance(value, str) else None


def texts(value: object) -> tuple[str, ...]:
    """The texts in a list of JSON."""
    return tuple(printable(item) for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def decimal(text: str) -> float | None:
    """A number as a tool prints it: `120.96`, `0x40`; None for `[N/A]`, `ERR!` and all else that is none."""
    try:
        number = float(int(text, 16)) if text.lower().startswith("0x") else float(text)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def count(text: str) -> int | None:
    """A whole number as a tool prints it."""
    number = decimal(text)
    return int(number) if number is not None and number.is_integer() else None


def document(lines: Sequence[str]) -> dict[str, Any] | None:
    """The JSON object that these lines are, or None."""
    try:
        value = json.loads("\n".join(lines), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; it is written as a string")
