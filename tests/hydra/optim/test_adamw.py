"""AdamW against a plain fp64 loop, and what a withheld step, a missing gradient and a resume must leave alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hydra.errors import Unsupported
from hydra.optim import build

BETAS, EPSILON, LR, DECAY = (0.9, 0.95), 1e-8, 1e-2, 0.1


def bits(tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()}


def everything(parameters, optimizers) -> dict[str, bytes]:
    return bits(dict(parameters)) | bits(optimizers.state_tensors())


class Fp64:
    """The formula of the paper, one scalar tensor operation after the other."""

    def __init__(self, weight: torch.Tensor, decay: float) -> None:
        self.p, self.decay, self.t = weight.detach().double().clone(), decay, 0
        self.m, self.v = torch.zeros_like(self.p), torch.zeros_like(self.p)

    def step(self, gradient: torch.Tensor, lr: float) -> None:
        g, (b1, b2) = gradient.double(), BETAS
        self.t += 1
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g * g
        self.p *= 1 - lr * self.decay
        self.p -= lr * (self.m / (1 - b1**self.t)) / ((self.v / (1 - b2**self.t)).sqrt() + EPSILON)


def test_a_hundred_steps_equal_a_plain_fp64_loop(rule, parameters, gradients) -> None:
    optimizers = build([rule(betas=BETAS, epsilon=EPSILON, lr=LR, weight_decay=DECAY)], parameters)
    plain = {name: Fp64(weight, DECAY if weight.ndim >= 2 else 0.0) for name, weight in parameters}
    for step in range(100):
        factor = 0.5 + 0.5 * math.cos(step / 30)
        gradients(parameters, step)
        optimizers.set_factor(factor)
        optimizers.step()
        for name, weight in parameters:
            plain[name].step(weight.grad, LR * factor)
    state = optimizers.state_tensors()
    for name, weight in parameters:
        # 100 steps of fp32 rounding: each moves a weight by about lr, with a relative error of 2^-24 each.
        torch.testing.assert_close(weight.detach().double(), plain[name].p, rtol=3e-6, atol=3e-6)
        torch.testing.assert_close(state[f"{name}.exp_avg"].double(), plain[name].m, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(state[f"{name}.exp_avg_sq"].double(), plain[name].v, rtol=1e-5, atol=1e-6)
        assert state[f"{name}.step"].item() == 100


def test_a_wrong_formula_would_be_seen(rule, parameters, gradients) -> None:
    """The tolerance above is narrow enough to see a decay of 1 % more."""
    optimizers = build([rule(betas=BETAS, epsilon=EPSILON, lr=LR, weight_decay=DECAY * 1.01)], parameters)
    plain = Fp64(parameters[0][1], DECAY)
    for step in range(100):
        gradients(parameters, step)
        optimizers.step()
        plain.step(parameters[0][1].grad, LR)
    assert not torch.allclose(parameters[0][1].detach().double(), plain.p, rtol=3e-6, atol=3e-6)


def test_equals_torchs_own_adamw_bit_for_bit(rule, fresh_parameters, gradients) -> None:
    """The functional call is the class that users know, with nothing changed: same bits as `torch.optim.AdamW`."""
    ours, theirs = fresh_parameters(), fresh_parameters()
    optimizers = build([rule(lr=LR, betas=BETAS, weight_decay=DECAY, decay_min_ndim=0)], ours)
    lr = torch.tensor(LR, dtype=torch.float32)
    reference = torch.optim.AdamW([p for _, p in theirs], lr=lr, betas=BETAS, weight_decay=DECAY, fused=True)
    for step in range(20):
        gradients(ours, step)
        gradients(theirs, step)
        optimizers.step()
        reference.step()
    assert bits(dict(ours)) == bits(dict(theirs))


@pytest.mark.parametrize("steps_before", [0, 3])
def test_a_withheld_step_changes_no_bit(rule, parameters, gradients, steps_before: int) -> None:
    optimizers = build([rule()], parameters)
    for step in range(steps_before):
        gradients(parameters, step)
        optimizers.step(torch.zeros(()))
    before = everything(parameters, optimizers)
    for _, parameter in parameters:
        parameter.grad = torch.full_like(parameter, math.nan)
    optimizers.step(torch.ones(()))
    assert everything(parameters, optimizers) == before
    assert all(state.item() == steps_before for name, state in optimizers.state_tensors().items() if "step" in name)


def test_found_inf_of_zero_is_an_ordinary_step(rule, fresh_parameters, gradients) -> None:
    plain, watched = fresh_parameters(), fresh_parameters()
    first, second = build([rule()], plain), build([rule()], watched)
    for step in range(5):
        gradients(plain, step)
        gradients(watched, step)
        first.step()
        second.step(torch.zeros(()))
    assert everything(plain, first) == everything(watched, second)


def test_after_a_withheld_step_training_goes_on_as_if_it_had_not_been(rule, fresh_parameters, gradients) -> None:
    straight, interrupted = fresh_parameters(), fresh_parameters()
    first, second = build([rule()], straight), build([rule()], interrupted)
    for step in range(6):
        gradients(straight, step)
        first.step(torch.zeros(()))
        if step == 3:
            gradients(interrupted, 99)
            second.step(torch.ones(()))
        gradients(interrupted, step)
        second.step(torch.zeros(()))
    assert everything(straight, first) == everything(interrupted, second)


def test_a_parameter_without_gradient_is_left_alone(rule, parameters, gradients) -> None:
    optimizers = build([rule()], parameters)
    gradients(parameters, 0)
    optimizers.step()
    before = everything(parameters, optimizers)
    gradients(parameters, 1)
    name, untouched = parameters[1]
    untouched.grad = None
    optimizers.step()
    after = everything(parameters, optimizers)
    unchanged = {key for key in before if before[key] == after[key]}
    assert unchanged == {name, f"{name}.exp_avg", f"{name}.exp_avg_sq", f"{name}.step"}


def test_a_resume_is_equal_in_every_bit(rule, fresh_parameters, gradients) -> None:
    straight = fresh_parameters()
    optimizers = build([rule()], straight)
    saved = None
    for step in range(20):
        if step == 9:
            state = {name: tensor.clone() for name, tensor in optimizers.state_tensors().items()}
            saved = ({name: weight.detach().clone() for name, weight in straight}, state)
        gradients(straight, step)
        optimizers.set_factor(1 / (step + 1))
        optimizers.step()
    weights, state = saved
    resumed = fresh_parameters(seed=5)
    second = build([rule()], resumed)
    with torch.no_grad():
        for name, weight in resumed:
            weight.copy_(weights[name])
    for name, tensor in second.state_tensors().items():
        tensor.copy_(state[name])
    for step in range(9, 20):
        gradients(resumed, step)
        second.set_factor(1 / (step + 1))
        second.step()
    assert everything(resumed, second) == everything(straight, optimizers)


def test_state_exists_from_the_start_and_keeps_its_storage(rule, parameters, gradients) -> None:
    optimizers = build([rule()], parameters)
    before = optimizers.state_tensors()
    assert list(before) == [
        f"{name}.{kind}"
        for name in ("embedding.weight", "blocks.0.linear.weight", "norm.scale", "bias")
        for kind in ("exp_avg", "exp_avg_sq", "step")
    ]
    assert all(tensor.dtype == torch.float32 and not tensor.any() for tensor in before.values())
    assert not any(tensor.requires_grad for tensor in before.values())
    addresses = {name: tensor.data_ptr() for name, tensor in before.items()}
    gradients(parameters, 0)
    optimizers.step()
    assert {name: tensor.data_ptr() for name, tensor in optimizers.state_tensors().items()} == addresses


def test_other_dtypes_are_refused(rule) -> None:
    with pytest.raises(Unsupported, match=r"'w': it is torch\.bfloat16"):
        build([rule()], [("w", nn.Parameter(torch.zeros(2, dtype=torch.bfloat16)))])


def test_other_devices_are_refused(rule) -> None:
    with pytest.raises(Unsupported, match=r"'w': it is torch\.float32 on meta"):
        build([rule()], [("w", nn.Parameter(torch.zeros(2, device="meta")))])
