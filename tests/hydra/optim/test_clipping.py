"""The global norm: its value, its factor, and gradients that must not be touched."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hydra.optim import clip


def with_gradients(*values: list[float]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(len(value))) for value in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor(value)
    return parameters


def test_one_norm_over_all_gradients() -> None:
    parameters = [*with_gradients([3.0, 0.0], [0.0, 0.0, 4.0]), nn.Parameter(torch.zeros(3))]
    norm, factor = clip(parameters, 1.0)
    assert (norm.item(), factor.item()) == (5.0, pytest.approx(0.2))
    torch.testing.assert_close(parameters[0].grad, torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(parameters[1].grad, torch.tensor([0.0, 0.0, 0.8]))
    assert parameters[2].grad is None


def test_both_results_are_fp32_scalars() -> None:
    for result in clip(with_gradients([1.0]), 1.0):
        assert result.dtype == torch.float32
        assert result.ndim == 0


@pytest.mark.parametrize("limit", [5.0, 100.0, None])
def test_below_the_limit_no_bit_changes(limit: float | None) -> None:
    parameters = with_gradients([3.0, 1e-40], [-0.0, 4.0])
    before = [parameter.grad.numpy().tobytes() for parameter in parameters]
    norm, factor = clip(parameters, limit)
    assert norm.item() == 5.0
    assert factor.item() == 1.0
    assert [parameter.grad.numpy().tobytes() for parameter in parameters] == before


def test_none_only_measures() -> None:
    parameters = with_gradients([300.0, 400.0])
    assert clip(parameters, None)[0].item() == 500.0
    assert parameters[0].grad.tolist() == [300.0, 400.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_gradients_that_are_not_finite_are_left_alone(bad: float) -> None:
    parameters = with_gradients([3.0, bad], [4.0])
    before = [parameter.grad.numpy().tobytes() for parameter in parameters]
    norm, factor = clip(parameters, 1.0)
    assert not math.isfinite(norm.item())
    assert factor.item() == 1.0
    assert [parameter.grad.numpy().tobytes() for parameter in parameters] == before


def test_zero_gradients_give_a_factor_of_one() -> None:
    norm, factor = clip(with_gradients([0.0, 0.0]), 1.0)
    assert (norm.item(), factor.item()) == (0.0, 1.0)


def test_no_gradient_at_all_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="backward"):
        clip([nn.Parameter(torch.zeros(2))], 1.0)


reasonable = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.lists(reasonable, min_size=1, max_size=5), min_size=1, max_size=4), st.floats(0.01, 1e3))
def test_norm_and_direction(values: list[list[float]], limit: float) -> None:
    parameters = with_gradients(*values)
    before = torch.cat([parameter.grad for parameter in parameters]).double()
    norm, factor = clip(parameters, limit)
    after = torch.cat([parameter.grad for parameter in parameters]).double()
    assert norm.item() == pytest.approx(before.norm().item(), rel=1e-5, abs=1e-20)
    assert 0.0 <= factor.item() <= 1.0
    assert after.norm().item() <= limit * (1 + 1e-5)
    torch.testing.assert_close(after, before * factor.item(), rtol=1e-6, atol=1e-30)
