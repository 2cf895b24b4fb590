"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.report import quantities


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (1.31415, "1.314"), (400, "400"), (1234.5, "1,234"), (123456, "123,456"), (0.003, "0.003"),
        (3e-6, "3e-6"), (1.5e12, "1.5e12"), (-2.5, "-2.5"), (math.nan, "NaN"), (math.inf, "∞"), (-math.inf, "-∞"),
    ],
)  # fmt: skip
def test_number(value: float, shown: str) -> None:
    assert quantities.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (940, "940"),
        (8312.4, "8.31k"),
        (56_494, "56.5k"),
        (1_352_160, "1.35M"),
        (8.03e9, "8.03G"),
        (999_999, "1M"),
    ],
)
def test_magnitude(value: float, shown: str) -> None:
    assert quantities.magnitude(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0 B"), (512, "512 B"), (1536, "1.5 KiB"), (64_600_000_000, "60.2 GiB")]
)
def test_size(value: float, shown: str) -> None:
    assert quantities.size(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (2.34, "2.3 s"),
        (59.7, "1 min"),
        (192, "3 min 12 s"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
        (-5, "0.0 s"),
    ],
)
def test_duration(seconds: float, shown: str) -> None:
    assert quantities.duration(seconds) == shown


@given(st.floats(min_value=1e-9, max_value=1e15))
def test_a_number_is_read_back_within_its_digits(value: float) -> None:
    assert float(quantities.number(value).replace(",", "")) == pytest.approx(value, rel=6e-4)


@given(st.floats(min_value=1, max_value=1e17))
def test_a_magnitude_is_read_back_within_three_digits(value: float) -> None:
    shown = quantities.magnitude(value)
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}.get(shown[-1], 1.0)
    assert float(shown.rstrip("kMGTP")) * factor == pytest.approx(value, rel=6e-3)


def test_moment_is_in_utc() -> None:
    assert quantities.moment(0) == "1970-01-01 00:00:00 UTC"
