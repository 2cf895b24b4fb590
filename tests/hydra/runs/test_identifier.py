from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.errors import RunError
from hydra.runs import RunId, run_name
from hydra.runs.identifier import ID_LENGTH, NAME_LENGTH


def test_form() -> None:
    identifier = RunId.draw("small-lm", datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    assert re.fullmatch(r"small-lm-20260131-235959-[a-z2-7]{4}", str(identifier))


def test_time_is_utc_whatever_the_clock_shows() -> None:
    somewhere = datetime(2026, 2, 1, 1, 0, 0, tzinfo=timezone(timedelta(hours=2)))
    assert "-20260131-230000-" in str(RunId.draw("a", somewhere))


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True), st.integers(0, 4 * 10**9))
def test_parse_is_the_inverse_of_str(name: str, moment: int) -> None:
    slug = run_name(name)
    identifier = RunId.draw(slug, datetime.fromtimestamp(moment, UTC))
    text = str(identifier)
    assert re.fullmatch(r"[a-z0-9-]{1,64}", text)
    assert RunId.parse(text) == identifier


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Small LM", "small-lm"), ("v1.5_b", "v1-5-b"), ("--a--b--", "a-b"), ("x" * NAME_LENGTH, "x" * NAME_LENGTH)],
)
def test_recognisable_names_are_rewritten(name: str, slug: str) -> None:
    assert run_name(name) == slug


@pytest.mark.parametrize("name", ["", "---", "a/b", "../x", "naïve", "日本", "a\nb", "x" * (NAME_LENGTH + 1), "a;rm"])
def test_other_names_are_refused_with_one_that_works(name: str) -> None:
    with pytest.raises(RunError) as caught:
        run_name(name)
    suggestion = caught.value.example.removeprefix("name: ")
    assert run_name(suggestion) == suggestion


@pytest.mark.parametrize(
    "text", ["", "latest", "a-20260131-235959", "a-20261331-235959-aaaa", "A-20260131-235959-aaaa",
             "a-20260131-235959-aa1a", "-20260131-235959-aaaa", "a-20260131-235959-aaaa\n",
             "x" * 44 + "-20260131-235959-aaaa"]
)  # fmt: skip
def test_other_texts_are_no_ids(text: str) -> None:
    assert RunId.parse(text) is None


def test_the_longest_id_fits() -> None:
    assert len(str(RunId.draw("x" * NAME_LENGTH))) == ID_LENGTH
