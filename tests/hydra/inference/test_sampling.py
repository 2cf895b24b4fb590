"""Sampling: what is kept, what is never drawn, and that draws depend only on what they are for."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra.errors import UsageError
from hydra.inference import Draw, NonFiniteLogits, Sampling, sample
from hydra.inference.sampling import uniform

ROWS = st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=24)


def draws(count: int, prompt: int = 0) -> list[Draw]:
    return [Draw(prompt, position) for position in range(count)]


def many(logits: list[float], sampling: Sampling, count: int, forbidden: torch.Tensor | None = None) -> torch.Tensor:
    return sample(torch.tensor([logits]).expand(count, -1), sampling, draws(count), forbidden)


@given(ROWS, st.integers(0, 5))
def test_temperature_zero_is_the_lowest_id_of_the_maximum(row: list[float], seed: int) -> None:
    assert int(many(row, Sampling(temperature=0, seed=seed), 1)) == row.index(max(row))


@given(ROWS, st.integers(1, 30), st.integers(0, 2**64 - 1))
def test_top_k_keeps_the_k_most_likely(row: list[float], k: int, seed: int) -> None:
    ranking = sorted(range(len(row)), key=lambda i: (-row[i], i))
    drawn = many(row, Sampling(temperature=3.0, top_k=k, seed=seed), 40)
    assert set(drawn.tolist()) <= set(ranking[:k])


@given(ROWS, st.floats(0.01, 1.0), st.floats(0.2, 3.0), st.integers(0, 100))
def test_top_p_keeps_the_smallest_set_with_that_mass(row: list[float], p: float, temperature: float, seed: int) -> None:
    probabilities = torch.softmax(torch.tensor(row, dtype=torch.float64) / temperature, 0).tolist()
    ranking = sorted(range(len(row)), key=lambda i: (-row[i], i))
    nucleus, mass = [], 0.0
    for token in ranking:
        if nucleus and mass >= p + 1e-9:  # the boundary itself is left to rounding
            break
        nucleus.append(token)
        mass += probabilities[token]
    drawn = many(row, Sampling(temperature=temperature, top_k=0, top_p=p, seed=seed), 40)
    assert set(drawn.tolist()) <= set(nucleus)


def test_top_p_below_the_largest_probability_keeps_one() -> None:
    assert set(many([0.0, 2.0, 1.0], Sampling(top_k=0, top_p=1e-9), 50).tolist()) == {1}


def test_top_p_counts_what_top_k_left() -> None:
    # 0.4, 0.3, 0.2, 0.1: of the two that top-k keeps, the first has 4/7 > 0.55 of the mass; of all four only 0.4.
    row = [math.log(p) for p in (0.4, 0.3, 0.2, 0.1)]
    assert set(many(row, Sampling(temperature=1, top_k=2, top_p=0.55), 200).tolist()) == {0}
    assert set(many(row, Sampling(temperature=1, top_k=0, top_p=0.55), 200).tolist()) == {0, 1}


def test_frequencies_follow_the_softmax() -> None:
    row = [0.0, 1.0, -1.0, 2.0]
    count = 20_000
    for temperature in (0.5, 1.0, 2.0):
        drawn = many(row, Sampling(temperature=temperature, top_k=0, seed=3), count)
        expected = torch.softmax(torch.tensor(row) / temperature, 0)
        measured = torch.bincount(drawn, minlength=4) / count
        assert torch.all((measured - expected).abs() < 5 * (expected * (1 - expected) / count).sqrt())


@given(ROWS, st.integers(0, 1000), st.data())
def test_forbidden_ids_are_never_drawn(row: list[float], seed: int, data: st.DataObject) -> None:
    allowed = data.draw(st.sets(st.integers(0, len(row) - 1), min_size=1))
    mask = torch.tensor([i not in allowed for i in range(len(row))])
    for sampling in (
        Sampling(temperature=0),
        Sampling(temperature=5, top_k=0, seed=seed),
        Sampling(top_k=1, seed=seed),
    ):
        assert set(many(row, sampling, 30, mask).tolist()) <= allowed


@given(ROWS, st.floats(1e-320, 1e300))
def test_any_temperature_gives_an_id(row: list[float], temperature: float) -> None:
    assert 0 <= int(many(row, Sampling(temperature=temperature, top_k=0), 1)) < len(row)


def test_a_tiny_temperature_is_greedy() -> None:
    assert set(many([1.0, 1.001, 0.5], Sampling(temperature=1e-300, top_k=0), 50).tolist()) == {1}


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(2, 40))
def test_rows_do_not_influence_each_other(seed: int, batch: int, width: int) -> None:
    logits = torch.randn(batch, width, generator=torch.Generator().manual_seed(seed))
    sampling = Sampling(temperature=1.3, top_k=7, top_p=0.9, seed=seed)
    names = [Draw(prompt=row, position=5) for row in range(batch)]
    together = sample(logits, sampling, names)
    alone = [int(sample(logits[row : row + 1], sampling, names[row : row + 1])) for row in range(batch)]
    assert together.tolist() == alone


def test_draws_differ_by_seed_prompt_and_position_only() -> None:
    numbers = {
        uniform(seed, Draw(prompt, position)) for seed in range(5) for prompt in range(5) for position in range(200)
    }
    assert len(numbers) == 5 * 5 * 200
    assert all(0 <= number < 1 for number in numbers)
    assert abs(sum(numbers) / len(numbers) - 0.5) < 0.02
    assert uniform(7, Draw(2, 9)) == uniform(7, Draw(2, 9)) == uniform(7 + 2**64, Draw(2, 9))
    assert uniform(-1, Draw(0, 0)) != uniform(1, Draw(0, 0))


def test_draws_are_fixed_for_all_time() -> None:
    # A stored sample names only its seed, so these numbers may not move with a library's version.
    assert [uniform(seed, Draw(prompt, position)).hex() for seed, prompt, position in ((0, 0, 0), (1, 2, 3))] == [
        "0x1.7a5d3204726c0p-7",
        "0x1.193c4b05de90cp-3",
    ]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_non_finite_logits_are_an_error_that_names_the_row(wrong: float, temperature: float) -> None:
    logits = torch.zeros(3, 8)
    logits[1, 2] = wrong
    with pytest.raises(NonFiniteLogits, match="1 of 8 logits of row 1 are NaN or infinite") as caught:
        sample(logits, Sampling(temperature=temperature), draws(3))
    assert "earlier checkpoint" in caught.value.fix


def test_non_finite_logits_of_forbidden_ids_do_not_matter() -> None:
    logits = torch.tensor([[0.0, 1.0, math.nan, -math.inf]])
    forbidden = torch.tensor([False, False, True, True])
    assert int(sample(logits, Sampling(temperature=0), draws(1), forbidden)) == 1
    assert int(sample(logits, Sampling(top_k=0), draws(1), forbidden)) in (0, 1)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, float], name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} is "):
        Sampling(**settings)  # type: ignore[arg-type]  # the wrong values are the test


def test_global_random_state_is_untouched() -> None:
    before = torch.get_rng_state()
    many([0.0, 1.0, 2.0], Sampling(), 10)
    assert torch.equal(torch.get_rng_state(), before)
