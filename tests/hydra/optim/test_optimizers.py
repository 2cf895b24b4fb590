"""Which rule takes which parameter, what the table says, and the errors for rules that cannot be meant."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from hydra.errors import ManifestError
from hydra.manifest.section import Kind
from hydra.optim import Row, build


def test_the_first_matching_rule_wins_and_decay_follows_dimensions(rule, parameters) -> None:
    rules = [
        rule(match=("embedding.*",), lr=1e-3, weight_decay=0.0),
        rule(match=("*",), ndim=2, lr=2e-3, weight_decay=0.2),
        rule(match=("*",), lr=3e-3, weight_decay=0.3),
    ]
    assert build(rules, parameters).table() == [
        Row("embedding.*", 1, 217, "adamw", 1e-3, 0.0),
        Row("* (ndim 2)", 1, 40, "adamw", 2e-3, 0.2),
        Row("*", 2, 32, "adamw", 3e-3, 0.0),
    ]


def test_one_rule_makes_a_decayed_and_an_undecayed_group(rule, parameters) -> None:
    assert build([rule()], parameters).table() == [
        Row("*", 2, 257, "adamw", 1e-2, 0.1),
        Row("*", 2, 32, "adamw", 1e-2, 0.0),
    ]


def test_decay_min_ndim_moves_the_border(rule, parameters) -> None:
    assert build([rule(decay_min_ndim=1)], parameters).table() == [Row("*", 4, 289, "adamw", 1e-2, 0.1)]
    assert build([rule(decay_min_ndim=3)], parameters).table() == [Row("*", 4, 289, "adamw", 1e-2, 0.0)]


def test_each_rule_has_its_own_learning_rate(rule) -> None:
    fast, slow = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizers = build([rule(match=("fast",), lr=0.4), rule(match=("slow",), lr=0.1)], [("fast", fast), ("slow", slow)])
    optimizers.set_factor(0.5)
    fast.grad, slow.grad = torch.ones(1), torch.ones(1)
    optimizers.step()
    # The first update of AdamW is lr times the sign of the gradient.
    torch.testing.assert_close(torch.stack([fast, slow]).detach(), torch.tensor([[-0.2], [-0.05]]))


def test_frozen_parameters_are_left_out(rule, parameters) -> None:
    parameters[0][1].requires_grad_(False)
    optimizers = build([rule()], parameters)
    assert sum(row.tensors for row in optimizers.table()) == 3
    assert not any("embedding" in name for name in optimizers.state_tensors())


def test_zero_grad_drops_the_gradients(rule, parameters, gradients) -> None:
    optimizers = build([rule()], parameters)
    gradients(parameters, 0)
    optimizers.zero_grad()
    assert all(parameter.grad is None for _, parameter in parameters)


def test_a_parameter_without_rule_is_named(rule, parameters) -> None:
    with pytest.raises(ManifestError, match=r"takes 2 parameters: norm\.scale, bias") as caught:
        build([rule(match=("*.weight",))], parameters)
    assert caught.value.exit_code == 2


def test_ndim_alone_can_leave_a_parameter_without_rule(rule, parameters) -> None:
    with pytest.raises(ManifestError, match=r"norm\.scale, bias"):
        build([rule(ndim=2)], parameters)


def test_a_rule_that_takes_nothing_is_named_with_the_closest_parameter(rule, parameters) -> None:
    with pytest.raises(ManifestError, match=r"optimizer\.0 takes no parameter: match \[embeding\.weight\]") as caught:
        build([rule(match=("embeding.weight",)), rule()], parameters)
    assert "closest is embedding.weight" in caught.value.fix


def test_a_shadowed_rule_is_told_from_a_mistyped_one(rule, parameters) -> None:
    with pytest.raises(ManifestError, match=r"optimizer\.1") as caught:
        build([rule(), rule(match=("norm.*",))], parameters)
    assert "earlier rules take all that it matches (norm.scale)" in caught.value.fix


def test_patterns_are_case_sensitive(rule, parameters) -> None:
    with pytest.raises(ManifestError, match="takes no parameter"):
        build([rule(match=("NORM.*",)), rule()], parameters)


def test_a_parameter_listed_twice_is_a_mistake(rule) -> None:
    shared = nn.Parameter(torch.zeros(2))
    with pytest.raises(AssertionError, match="shared"):
        build([rule()], [("embedding", shared), ("head", shared)])


def test_a_decay_of_one_would_divide_by_zero_and_is_refused(rule) -> None:
    with pytest.raises(ValueError, match="less than 1"):
        rule(betas=(1.0, 0.95))


def test_something_else_than_an_optimizer_is_refused(parameters) -> None:
    with pytest.raises(TypeError, match="Kind is no optimizer"):
        build([Kind(kind="adam")], parameters)


def test_found_inf_must_be_an_fp32_scalar(rule, parameters) -> None:
    optimizers = build([rule()], parameters)
    for wrong in (torch.ones(1), torch.ones((), dtype=torch.bool)):
        with pytest.raises(AssertionError, match="fp32 scalar"):
            optimizers.step(wrong)


def test_importing_the_room_loads_no_torch() -> None:
    code = "import sys, hydra.optim, hydra.optim.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
