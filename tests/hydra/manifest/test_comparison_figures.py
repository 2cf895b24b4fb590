"""What a verdict rests on: digests of the data stream, Student's t distribution, step times, path patterns."""

from __future__ import annotations

import statistics
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.manifest.comparison import StreamDigest, step_time
from hydra.manifest.comparison.groups import covers
from hydra.manifest.comparison.student import below, interval, quantile

STEPS = st.lists(
    st.tuples(st.lists(st.integers(0, 999), max_size=4), st.lists(st.integers(0, 255), max_size=8)), max_size=6
)


def folded(steps: list[tuple[list[int], list[int]]], first: int = 0, state: str | None = None) -> str:
    digest = StreamDigest(state)
    for step, (samples, tokens) in enumerate(steps, first):
        digest.update(step, memoryview(array("q", samples)), memoryview(array("i", tokens)))
    return digest.state


@given(STEPS, st.integers(0, 6))
def test_a_stream_goes_on_where_it_was_cut(steps: list[tuple[list[int], list[int]]], cut: int) -> None:
    assert folded(steps[cut:], min(cut, len(steps)), folded(steps[:cut])) == folded(steps)


@given(STEPS, STEPS)
def test_streams_are_equal_exactly_when_their_steps_are(
    first: list[tuple[list[int], list[int]]], second: list[tuple[list[int], list[int]]]
) -> None:
    assert (folded(first) == folded(second)) == (first == second)


def test_the_shape_of_the_memory_does_not_matter() -> None:
    flat, square = StreamDigest(), StreamDigest()
    flat.update(1, bytes(8), bytes(range(12)))
    square.update(1, memoryview(bytes(8)).cast("q"), memoryview(bytes(range(12))).cast("B", shape=[3, 4]))
    assert flat.state == square.state


# Statistics


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.706205), (2, 4.302653), (3, 3.182446), (4, 2.776445), (5, 2.570582), (9, 2.262157), (30, 2.042272)],
)
def test_quantiles_equal_the_tables(freedom: int, expected: float) -> None:
    assert quantile(0.975, freedom) == pytest.approx(expected, abs=5e-7)


def test_many_degrees_of_freedom_approach_the_normal_distribution() -> None:
    assert quantile(0.975, 20_000) == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=2e-4)


@given(st.integers(1, 60), st.floats(0.5, 0.9999))
def test_a_quantile_has_its_probability_below_it(freedom: int, probability: float) -> None:
    assert below(quantile(probability, freedom), freedom) == pytest.approx(probability, abs=1e-12)


def test_equal_differences_have_no_width() -> None:
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_step_times_leave_the_warm_up_out() -> None:
    found = step_time([1000.0] * 20 + [1.0, 2.0, 3.0, 4.0, 5.0])
    assert found is not None
    assert (found.median, found.quartiles, found.steps) == (3.0, (2.0, 4.0), 5)
    assert step_time([1.0] * 21) is None


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("model", "model.width", True),
        ("model.width", "model.width", True),
        ("model.width", "model.widths", False),
        ("model.width.more", "model.width", False),
        ("model.blocks.*.mlp", "model.blocks.3.mlp.hidden", True),
        ("model.blocks.3", "model.blocks.30", False),
        ('kernels.pin."a.b"', 'kernels.pin."a.b"', True),
        ("kernels.pin.a", 'kernels.pin."a.b"', False),
        ("a..b", "a.b", False),
    ],
)
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    assert covers(pattern, path) is expected
