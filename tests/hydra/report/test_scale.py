"""Axes: positions and round ticks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hydra.report.scale import Scale, fitted

NUMBERS = st.lists(st.floats(-1e12, 1e12, allow_nan=False) | st.just(math.nan), min_size=1, max_size=30)


@given(NUMBERS, st.sampled_from(["linear", "log"]), st.booleans())
def test_all_values_that_have_a_place_lie_inside(values: list[float], kind: str, from_zero: bool) -> None:
    data = np.array(values)
    scale = fitted(data, kind, 200.0, 10.0, from_zero=from_zero)  # type: ignore[arg-type] # hypothesis knows only str
    places = scale(data)
    known = np.isfinite(data) & ((data > 1e-30) | (kind == "linear"))
    assert (np.isfinite(places) == known).all()
    assert (places[known] <= 200.0 + 1e-6).all()
    assert (places[known] >= 10.0 - 1e-6).all()


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9), st.integers(2, 8))
def test_linear_ticks_are_inside_even_and_about_as_many_as_asked(low: float, width: float, count: int) -> None:
    assume(abs(low) < width * 1e6)
    scale = Scale("linear", low, low + width, 0.0, 1.0)
    ticks = scale.ticks(count)
    assert 1 <= len(ticks) <= count + 1
    assert all(low - width * 1e-6 <= tick <= low + width * (1 + 1e-6) for tick in ticks)
    gaps = np.diff(ticks)
    assert gaps == pytest.approx(np.full(len(gaps), gaps.mean() if len(gaps) else 0), rel=1e-4)


@given(st.floats(-12, 8), st.floats(0.05, 20))
def test_log_ticks_are_inside_and_at_least_two(exponent: float, decades: float) -> None:
    low, high = 10.0**exponent, 10.0 ** (exponent + decades)
    ticks = Scale("log", low, high, 0.0, 1.0).ticks(5)
    assert 2 <= len(ticks) <= 16
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in ticks)


def test_round_numbers() -> None:
    assert Scale("linear", 0.0, 400.0, 0, 1).ticks(4) == [0, 100, 200, 300, 400]
    assert Scale("linear", 0.0, 0.0031, 0, 1).ticks(4) == [0, 0.001, 0.002, 0.003]
    assert Scale("log", 0.5, 300.0, 0, 1).ticks(5) == [0.5, 1, 2, 5, 10, 20, 50, 100, 200]


def test_a_constant_gets_a_range_around_itself() -> None:
    scale = fitted(np.array([3e-4, 3e-4]), "linear", 100.0, 0.0)
    assert scale.low < 3e-4 < scale.high
    assert scale.at(3e-4) == pytest.approx(50.0)
