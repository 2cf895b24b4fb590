from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.runs import decode, encode, encode_document

TEXT = st.text(st.characters(exclude_categories=())).filter(lambda text: text not in ("NaN", "Infinity", "-Infinity"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equality under which NaN equals NaN, and 1 differs from True and from 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and math.isnan(left):
        return math.isnan(right)
    return bool(left == right) and (not isinstance(left, float) or math.copysign(1, left) == math.copysign(1, right))


@given(VALUES)
def test_everything_comes_back(value: Any) -> None:
    assert same(decode(encode(value)), value)
    assert same(decode(encode_document(value)), value)


@given(VALUES)
def test_one_line_of_ascii_that_any_json_parser_takes(value: Any) -> None:
    text = encode(value)
    assert text.isascii()
    assert all(0x20 <= byte < 0x7F for byte in text)

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    json.loads(text, parse_constant=refuse)


def test_the_words() -> None:
    assert encode([math.nan, math.inf, -math.inf]) == b'["NaN","Infinity","-Infinity"]'


def test_free_text_keeps_its_strings() -> None:
    assert decode(b'{"text":"NaN"}', numbers=False) == {"text": "NaN"}


@pytest.mark.parametrize(
    "text", [b"", b"{", b"NaN", b'{"a":Infinity}', b"\xff\xfe", b'{"a":1}x', b"\0\0\0", b"[" * 100_000, b"1" * 5_000]
)
def test_anything_else_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        decode(text)


def test_what_json_cannot_hold_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError):
        encode({"path": Path("x")})
