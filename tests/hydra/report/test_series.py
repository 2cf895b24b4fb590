"""Curves: what is taken from rows, smoothed and thinned."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.report.series import Series, column, smoothed, span_of, thinned

VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan) | st.just(math.inf), min_size=1, max_size=400)


def over_steps(values: list[float]) -> Series:
    return Series(np.arange(len(values), dtype=np.float64), np.array(values, dtype=np.float64))


def test_rows_without_the_field_or_with_something_else_in_it_have_no_point() -> None:
    rows: list[dict[str, object]] = [
        {"step": 1, "loss": 2.0}, {"step": 2}, {"step": 3, "loss": "x"}, {"step": 4, "loss": True},
        {"step": 5, "loss": 1},
    ]  # fmt: skip
    series = column(rows, "loss")
    assert series.steps.tolist() == [1, 5]
    assert series.values.tolist() == [2.0, 1.0]
    assert len(column([], "loss")) == 0


@given(VALUES, st.integers(1, 40))
def test_thinning_keeps_the_ends_and_the_extremes_of_every_part(values: list[float], columns: int) -> None:
    series = over_steps(values)
    low, high = 0.0, float(len(values) - 1)
    thin = thinned(series, low, high, columns)
    assert len(thin) <= max(columns, 5 * columns)
    assert set(thin.steps.tolist()) <= set(series.steps.tolist())
    assert (thin.steps[0], thin.steps[-1]) == (series.steps[0], series.steps[-1])
    assert np.all(np.diff(thin.steps) > 0)
    if len(series.finite):
        assert (thin.finite.min(), thin.finite.max()) == (series.finite.min(), series.finite.max())
    assert np.isfinite(thin.values).all() == np.isfinite(series.values).all()


def test_thinning_bounds_a_long_run_and_keeps_a_spike_of_one_step() -> None:
    values = [1.0] * 100_000
    values[54_321] = 9.0
    thin = thinned(over_steps(values), 0.0, 99_999.0, 480)
    assert len(thin) <= 4 * 480
    assert thin.values.max() == 9.0
    assert thin.steps[thin.values.argmax()] == 54_321


def test_a_constant_stays_constant_when_smoothed_and_is_unbiased_from_the_first_step() -> None:
    assert smoothed(over_steps([3.0] * 50), 10).values == pytest.approx([3.0] * 50)


@given(VALUES, st.integers(1, 50))
def test_smoothing_stays_within_the_values_and_breaks_where_they_break(values: list[float], span: int) -> None:
    series = over_steps(values)
    result = smoothed(series, span)
    assert (np.isfinite(result.values) == np.isfinite(series.values)).all()
    if len(series.finite):
        margin = 1e-9 * (1 + np.abs(series.finite).max())
        assert result.finite.min() >= series.finite.min() - margin
        assert result.finite.max() <= series.finite.max() + margin


def test_span_one_changes_nothing() -> None:
    assert smoothed(over_steps([5.0, 1.0, 4.0]), 1).values.tolist() == [5.0, 1.0, 4.0]


def test_the_span_grows_with_the_run_up_to_200_steps() -> None:
    assert [span_of(points) for points in (0, 10, 100, 1000, 1_000_000)] == [1, 1, 2, 20, 200]
