"""JSON as every file of a run directory holds it: pure ASCII, one document on one line, non-finite numbers as strings.

JSON has no word for NaN and the infinities, and they are exactly what one looks for after a run went wrong. They are
written as the strings `NaN`, `Infinity` and `-Infinity`, which every JSON parser reads. The price is that a text of
exactly these letters cannot be told from the number, so documents that carry free text are decoded with
`numbers=False` and keep their strings.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def word_of(number: float) -> str | None:
    """The string that stands for a non-finite number, or None for a finite one."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return None


def encode(value: object) -> bytes:
    """One JSON document on one line, without the newline.

    ASCII only: no control byte, no line separator of Unicode and no lone surrogate can split a line or fail to encode.
    Raises TypeError for what JSON cannot hold (a path, a tensor): that is a mistake of the caller.
    """
    return json.dumps(_words_for_numbers(value), allow_nan=False, separators=(",", ":")).encode("ascii")


def encode_document(value: object) -> bytes:
    """The same for a file that people read: indented, ending in a newline."""
    return json.dumps(_words_for_numbers(value), allow_nan=False, indent=2).encode("ascii") + b"\n"


def decode(text: bytes, *, numbers: bool = True) -> Any:
    """The value of one JSON document; with `numbers`, the three words become floats again wherever they stand alone.

    Raises ValueError for anything else than one JSON document in UTF-8, bare `NaN` included, and for nesting so deep
    that only a hostile writer makes it.
    """
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_refuse)
        return _numbers_for_words(value) if numbers else value
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; it is written as a string")


def _words_for_numbers(value: object) -> object:
    if isinstance(value, float):
        return word_of(value) or value
    if isinstance(value, dict):
        return {key: _words_for_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_words_for_numbers(item) for item in value]
    return value


def _numbers_for_words(value: object) -> object:
    if isinstance(value, str):
        return _WORDS.get(value, value)
    if isinstance(value, dict):
        return {key: _numbers_for_words(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers_for_words(item) for item in value]
    return value
