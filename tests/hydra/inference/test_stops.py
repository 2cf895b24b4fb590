"""Stop strings: found wherever pieces are cut, and never shown in part."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.errors import UsageError
from hydra.inference.stops import StopMatcher

LETTERS = st.text("ab", max_size=24)
STOPS = st.lists(st.text("ab", min_size=1, max_size=5), max_size=3)


def run(pieces: list[str], stops: list[str]) -> tuple[list[str], str | None]:
    matcher = StopMatcher(stops)
    given = [matcher.feed(piece) for piece in pieces]
    return [*given, matcher.flush()], matcher.met


def expected(text: str, stops: list[str]) -> tuple[str, str | None]:
    """Character by character: the first moment at which the text ends in a stop, the longest one then."""
    for end in range(1, len(text) + 1):
        met = [stop for stop in stops if text[:end].endswith(stop)]
        if met:
            stop = max(met, key=len)
            return text[: end - len(stop)], stop
    return text, None


@given(LETTERS, STOPS, st.data())
def test_cutting_does_not_matter(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    bounds = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    given_out, met = run(pieces, stops)
    assert ("".join(given_out), met) == expected(text, stops)


@given(LETTERS, STOPS)
def test_nothing_is_held_longer_than_needed(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    out = ""
    for end, character in enumerate(text, 1):
        out += matcher.feed(character)
        if matcher.met is not None:
            break
        held = text[len(out) : end]
        assert not held or any(stop.startswith(held) for stop in stops)


def test_a_tail_that_may_become_a_stop_is_held_until_it_is_none() -> None:
    assert run(["x\n", "\ny"], ["\n\n"]) == (["x", "", ""], "\n\n")
    assert run(["x\n", "y\n"], ["\n\n"]) == (["x", "\ny", "\n"], None)


def test_nothing_follows_a_stop() -> None:
    assert run(["a.b", "c", "."], ["."]) == (["a", "", "", ""], ".")


def test_stops_that_overlap() -> None:
    assert run(["xabcd"], ["abcd", "bc"]) == (["xa", ""], "bc")
    assert run(["xbc"], ["abc", "bc", "c"]) == (["x", ""], "bc")


def test_an_empty_stop_is_refused() -> None:
    with pytest.raises(UsageError, match="stop string is empty"):
        StopMatcher(["ok", ""])
