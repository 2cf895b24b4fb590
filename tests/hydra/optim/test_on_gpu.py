"""The same promises on CUDA, and that nothing in a step waits for the device."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hydra.optim import build, clip

pytestmark = pytest.mark.needs("gpu")
DEVICE = "cuda"


@pytest.fixture
def on_device(parameters):
    return [(name, nn.Parameter(parameter.detach().to(DEVICE))) for name, parameter in parameters]


def give(parameters, step: int) -> None:
    generator = torch.Generator(DEVICE).manual_seed(step)
    for _, parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator, device=DEVICE)


def everything(parameters, optimizers) -> list[torch.Tensor]:
    state = [*(parameter for _, parameter in parameters), *optimizers.state_tensors().values()]
    return [tensor.detach().clone() for tensor in state]


def test_equals_torchs_own_adamw_in_fp64(rule, on_device) -> None:
    optimizers = build([rule(decay_min_ndim=0)], on_device)
    doubles = [parameter.detach().double().requires_grad_() for _, parameter in on_device]
    plain = torch.optim.AdamW(doubles, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1, foreach=False)
    for step in range(100):
        give(on_device, step)
        for double, (_, parameter) in zip(doubles, on_device, strict=True):
            double.grad = parameter.grad.double()
        optimizers.step()
        plain.step()
    for double, (_, parameter) in zip(doubles, on_device, strict=True):
        torch.testing.assert_close(parameter.detach().double(), double.detach(), rtol=3e-6, atol=3e-6)


def test_a_withheld_step_changes_no_bit(rule, on_device) -> None:
    optimizers = build([rule()], on_device)
    for step in range(3):
        give(on_device, step)
        optimizers.step(torch.zeros((), device=DEVICE))
    before = everything(on_device, optimizers)
    for _, parameter in on_device:
        parameter.grad = torch.full_like(parameter, math.nan)
    optimizers.step(torch.ones((), device=DEVICE))
    assert all(torch.equal(a, b) for a, b in zip(before, everything(on_device, optimizers), strict=True))


def test_a_step_never_waits_for_the_device(rule, on_device) -> None:
    optimizers = build([rule(match=("*",), ndim=2), rule()], on_device)
    give(on_device, 0)
    weights = [parameter for _, parameter in on_device]
    optimizers.step(torch.zeros((), device=DEVICE))
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(3):
            norm, _ = clip(weights, 1.0)
            optimizers.set_factor(1 / (step + 1))
            optimizers.step((~torch.isfinite(norm)).to(torch.float32))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_clipping_leaves_gradients_that_are_not_finite_alone(on_device) -> None:
    give(on_device, 0)
    on_device[0][1].grad[0, 0] = math.inf
    before = [parameter.grad.clone() for _, parameter in on_device]
    norm, factor = clip([parameter for _, parameter in on_device], 1.0)
    assert (norm.item(), factor.item()) == (math.inf, 1.0)
    assert all(torch.equal(a, parameter.grad) for a, (_, parameter) in zip(before, on_device, strict=True))
