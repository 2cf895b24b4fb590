"""The reader agrees with `json` on what is JSON and what it says, and knows the line of everything."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.inventory.located import MAX_DEPTH, Located, Malformed, read, written

#: A higher number for the nightly run.
EXAMPLES = 200
texts = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts
scalars = scalars.filter(lambda value: value not in (float("inf"), float("-inf")))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
)


class Layout:
    """Writes a value as JSON with random space and line ends between all tokens."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def space(self) -> str:
        return "".join(self._random.choices(["", "", "\n", " ", "\t", "\r\n"], k=self._random.randint(0, 3)))

    def of(self, value: Any) -> str:
        if isinstance(value, dict):
            pairs = [f"{self.token(key)}{self.space()}:{self.space()}{self.of(item)}" for key, item in value.items()]
            return self.bracketed("{", pairs, "}")
        if isinstance(value, list):
            return self.bracketed("[", [self.of(item) for item in value], "]")
        return self.token(value)

    def token(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=self._random.random() < 0.5)

    def bracketed(self, opening: str, parts: list[str], closing: str) -> str:
        inner = ",".join(f"{self.space()}{part}{self.space()}" for part in parts)
        return f"{opening}{inner or self.space()}{closing}"


def check_lines(located: Located, text: str) -> None:
    """Every line that is given for a key holds that key, and those of items hold their beginning."""
    lines = text.split("\n")
    for path, line in located.lines.items():
        shown = lines[line - 1]
        if path and isinstance(path[-1], str):
            assert json.dumps(path[-1]) in shown or json.dumps(path[-1], ensure_ascii=False) in shown
        else:
            assert shown.strip()


@given(values, st.integers(0, 2**32))
@settings(max_examples=EXAMPLES)
def test_it_reads_what_json_reads_and_every_line_holds_its_key(value: Any, seed: int) -> None:
    layout = Layout(seed)
    text = layout.space() + layout.of(value) + layout.space()
    located = read(text)
    assert located.data == json.loads(text) == value
    assert not located.twice
    check_lines(located, text)


def paths(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """The path of every key and item."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(paths(item, (*path, key)) for key, item in pairs))


@given(values)
@settings(max_examples=EXAMPLES)
def test_every_key_and_item_has_a_line(value: Any) -> None:
    assert set(read(json.dumps(value, indent=1)).lines) == paths(value)


@given(values, st.integers(0, 200), st.sampled_from([*'{}[]:,"\\/0x\n', "null", "//", ""]), st.integers(0, 3))
@settings(max_examples=EXAMPLES)
def test_it_refuses_what_json_refuses(value: Any, at: int, inserted: str, dropped: int) -> None:
    whole = json.dumps(value)
    text = whole[:at] + inserted + whole[at + dropped :]
    try:
        expected = json.loads(text, parse_constant=lambda name: pytest.fail)
    except ValueError:
        with pytest.raises(Malformed) as raised:
            read(text)
        assert 1 <= raised.value.line <= text.count("\n") + 1
        return
    if "Infinity" not in text and "NaN" not in text and "\\ud" not in text.lower() and "e" not in text.lower():
        assert read(text).data == expected or read(text).twice


@pytest.mark.parametrize(
    ("text", "line", "path", "what"),
    [
        ("", 1, "", "the end of the file"),
        ('{"a": 1,\n}', 2, "", "JSON has no comma after the last item"),
        ('{"a":\n [1, 2,]}', 2, "a", "JSON has no comma after the last item"),
        ('{"a": 1\n "b": 2}', 2, "", 'expected "," or "}"'),
        ('{"a" 1}', 1, "a", 'expected ":"'),
        ("{'a': 1}", 1, "", "expected a key in double quotes"),
        ('{\n// hosts\n"a": 1}', 2, "", "a comment, which JSON does not have"),
        ('{"a": NaN}', 1, "a", "expected a finite number"),
        ('{"a": 1e999}', 1, "a", "expected a finite number"),
        ('{"a": ' + "9" * 5000 + "}", 1, "a", "beyond 64 bits"),
        ('{"a": 9223372036854775808}', 1, "a", "beyond 64 bits"),
        ('{"a": "\\ud800"}', 1, "a", "half of a surrogate pair"),
        ('{"a": "x\ny"}', 1, "a", "Invalid control character"),
        ('{"a": 1}\n{', 2, "", "after the end"),
        ("[" * 10_000, 1, "[0][0]", f"more than {MAX_DEPTH} levels"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, line: int, path: str, what: str) -> None:
    with pytest.raises(Malformed) as raised:
        read(text)
    assert (raised.value.line, written(raised.value.path)) == (line, path)
    assert what in raised.value.what


def test_keys_given_twice_are_found_at_any_depth() -> None:
    located = read('{"a": {"b": 1,\n"c": 2,\n"b": {"d": [1]}},\n"a": 3}')
    assert located.data == {"a": {"b": 1, "c": 2}}
    assert located.twice == [(("a", "b"), 3), (("a",), 4)]
    assert located.line(("a", "b", "d", 0)) == 1, "places inside a repeated value are those of the first one"


def test_paths_are_written_as_people_read_them() -> None:
    assert written(("groups", "pair", "members", 1)) == "groups.pair.members[1]"
    assert written(("overrides", "training.batch")) == 'overrides["training.batch"]'
    assert written(()) == ""
