"""Schedules as closed forms: warm-up, continuity, exact ends, and nothing that depends on where a run was resumed."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hydra.manifest.section import Kind
from hydra.optim import factor
from hydra.optim.config import ConstantSchedule, CosineSchedule, LinearSchedule, WsdSchedule

RATIOS = st.floats(0.0, 1.0)
FRACTIONS = st.floats(0.0, 1.0)


def wsd(**changes: Any) -> WsdSchedule:
    return WsdSchedule.model_validate({"kind": "wsd", "warmup_steps": 0, **changes})


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Kind, int]:
    """Any schedule with any run that has room for its warm-up."""
    total = draw(st.integers(1, 400))
    warmup, ratio = draw(st.integers(0, total)), draw(RATIOS)
    shape = draw(st.sampled_from(["linear", "sqrt", "cosine"]))
    every = [
        wsd(warmup_steps=warmup, min_ratio=ratio, decay_fraction=draw(FRACTIONS), shape=shape),
        CosineSchedule(kind="cosine", warmup_steps=warmup, min_ratio=ratio),
        LinearSchedule(kind="linear", warmup_steps=warmup, min_ratio=ratio),
        ConstantSchedule(kind="constant", warmup_steps=warmup),
    ]
    return draw(st.sampled_from(every)), total


def curve(schedule: Kind, total: int) -> list[float]:
    return [factor(schedule, step, total) for step in range(total)]


@given(schedules())
def test_warm_up_is_s_plus_one_over_w_and_rises_strictly(case: tuple[Kind, int]) -> None:
    schedule, total = case
    warmup = schedule.warmup_steps
    values = curve(schedule, total)
    assert values[:warmup] == [(s + 1) / warmup for s in range(warmup)]
    assert all(a < b for a, b in itertools.pairwise(values[:warmup]))
    if warmup:
        assert values[warmup - 1] == 1.0


@given(schedules())
def test_after_the_warm_up_it_never_rises_and_stays_between_end_and_peak(case: tuple[Kind, int]) -> None:
    schedule, total = case
    values = curve(schedule, total)[max(schedule.warmup_steps - 1, 0) :]
    lowest = getattr(schedule, "min_ratio", 1.0)
    assert all(a >= b - 1e-15 for a, b in itertools.pairwise(values))
    assert all(lowest - 1e-15 <= value <= 1.0 for value in values)


@given(schedules())
def test_the_last_step_has_exactly_the_end_value(case: tuple[Kind, int]) -> None:
    schedule, total = case
    assume(schedule.warmup_steps < total > 1)
    assume(getattr(schedule, "decay_fraction", 1.0) > 0)
    assert factor(schedule, total - 1, total) == getattr(schedule, "min_ratio", 1.0)


@given(schedules())
def test_no_step_jumps(case: tuple[Kind, int]) -> None:
    """Neighbours differ by no more than the steepest place of the form itself: so the pieces meet."""
    schedule, total = case
    values, warmup = curve(schedule, total), schedule.warmup_steps
    first = max(warmup - 1, 0)
    if isinstance(schedule, WsdSchedule):
        fraction = schedule.decay_fraction
        first = max(first, total - 1 - (max(1, round(fraction * total)) if fraction else 0))
    steps = max(total - 1 - first, 1)
    steepest = {"linear": 1 / steps, "cosine": math.pi / 2 / steps, "sqrt": 1 / math.sqrt(steps)}
    shape = getattr(schedule, "shape", "cosine" if isinstance(schedule, CosineSchedule) else "linear")
    for s in range(first, total - 1):
        assert values[s] - values[s + 1] <= steepest[shape] + 1e-12
    assert all(value == 1.0 for value in values[max(warmup - 1, 0) : first + 1])


def test_min_ratio_does_not_lift_the_warm_up() -> None:
    schedule = CosineSchedule(kind="cosine", warmup_steps=10, min_ratio=0.5)
    assert factor(schedule, 0, 100) == 0.1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("linear", [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]),
        ("sqrt", [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 1 - math.sqrt(0.5), 1 - math.sqrt(0.75), 0.0]),
        ("cosine", [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0.0]),
    ],
)
def test_wsd_by_hand(shape: str, expected: list[float]) -> None:
    """Ten steps, the last four decay; step 5 is the last at the peak."""
    assert curve(wsd(decay_fraction=0.4, shape=shape), 10) == pytest.approx(expected, abs=1e-15)


def test_wsd_by_hand_with_warm_up_and_floor() -> None:
    values = curve(wsd(warmup_steps=2, decay_fraction=0.5, min_ratio=0.2), 8)
    assert values == pytest.approx([0.5, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2])


def test_a_decay_longer_than_what_the_warm_up_leaves_starts_after_it() -> None:
    assert curve(wsd(warmup_steps=4, decay_fraction=1.0), 8) == pytest.approx([0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0])


def test_a_fraction_of_zero_never_decays() -> None:
    assert curve(wsd(decay_fraction=0.0), 5) == [1.0] * 5


def test_cosine_and_linear_by_hand() -> None:
    assert curve(CosineSchedule(kind="cosine", warmup_steps=0, min_ratio=0.0), 3) == pytest.approx([1.0, 0.5, 0.0])
    assert curve(LinearSchedule(kind="linear", warmup_steps=1, min_ratio=0.5), 3) == pytest.approx([1.0, 0.75, 0.5])


def test_constant_is_the_peak_after_its_warm_up() -> None:
    assert curve(ConstantSchedule(kind="constant", warmup_steps=2), 4) == [0.5, 1.0, 1.0, 1.0]


def test_a_run_that_is_all_warm_up_ends_at_the_peak() -> None:
    assert curve(LinearSchedule(kind="linear", warmup_steps=4), 4) == [0.25, 0.5, 0.75, 1.0]
    assert curve(CosineSchedule(kind="cosine", warmup_steps=0), 1) == [1.0]


@given(schedules(), st.randoms())
def test_the_order_of_asking_does_not_matter(case: tuple[Kind, int], random: Any) -> None:
    """A resumed run asks for later steps first; every step has the value that the unbroken run had."""
    schedule, total = case
    straight = curve(schedule, total)
    steps = list(range(total))
    random.shuffle(steps)
    assert all(factor(schedule, step, total) == straight[step] for step in steps)


def test_outside_of_the_run_is_a_mistake() -> None:
    for step in (-1, 5):
        with pytest.raises(AssertionError, match="outside"):
            factor(wsd(), step, 5)


def test_something_else_than_a_schedule_is_refused() -> None:
    with pytest.raises(TypeError, match="Kind is no schedule"):
        factor(Kind(kind="step"), 0, 1)
