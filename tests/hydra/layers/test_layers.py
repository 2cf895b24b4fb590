"""Layers: shapes, types, gradients and the first values they declare."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from hydra.kernels import Facts
from hydra.kernels.linear_cross_entropy import choose
from hydra.layers.config import MlpConfig, NormConfig
from hydra.layers.embedding import Embedding
from hydra.layers.head import Head
from hydra.layers.initial import Constant, TruncatedNormal
from hydra.layers.linear import Linear
from hydra.layers.mlp import GatedMlp, PlainMlp, mlp
from hydra.layers.norm import Norm

CPU = Facts("cpu", None, None, torch.float32)


def draw(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def filled(module: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed))
    return module


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_linear_works_in_the_type_of_its_input(dtype: torch.dtype) -> None:
    layer = filled(Linear(5, 3, 0.02))
    x = draw(2, 4, 5, dtype=dtype).requires_grad_()
    y = layer(x)
    assert y.dtype == dtype
    assert torch.equal(y, x @ layer.weight.to(dtype).t())
    y.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_embedding_converts_the_rows_it_reads() -> None:
    layer = filled(Embedding(7, 4, 0.02))
    tokens = torch.tensor([[0, 6, 6]])
    assert torch.equal(layer(tokens, torch.bfloat16), layer.weight[tokens].bfloat16())
    layer(tokens, torch.bfloat16).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad[:, 0].tolist() == [1, 0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize("kind", ["rms_norm", "layer_norm"])
def test_norms(kind: str, weight: bool) -> None:
    layer = filled(Norm(NormConfig(kind=kind, weight=weight, epsilon=1e-3), 6))
    x = draw(3, 6)
    scale = layer.weight.double() if weight else None
    wanted = (
        functional.layer_norm(x, (6,), scale, eps=1e-3)
        if kind == "layer_norm"
        else functional.rms_norm(x, (6,), scale, 1e-3)
    )
    assert torch.allclose(layer(x), wanted)
    assert layer.distributions() == ({"weight": Constant(1.0)} if weight else {})
    assert [use.op for use in layer.uses()] == [kind]


FORMULAS = {
    "swiglu": lambda gate, up: functional.silu(gate) * up,
    "geglu": lambda gate, up: functional.gelu(gate) * up,
    "relu_squared": lambda _, up: functional.relu(up) ** 2,
    "gelu": lambda _, up: functional.gelu(up),
}


@pytest.mark.parametrize("kind", FORMULAS)
def test_mlps(kind: str) -> None:
    layer = filled(mlp(MlpConfig(kind=kind, hidden=8), 4, 0.02, 0.01))
    x = draw(3, 4)
    gated = kind in ("swiglu", "geglu")
    assert isinstance(layer, GatedMlp if gated else PlainMlp)
    gate = layer.gate(x) if isinstance(layer, GatedMlp) else x
    assert torch.allclose(layer(x), FORMULAS[kind](gate, layer.up(x)) @ layer.down.weight.double().t())
    assert layer.down.distributions() == {"weight": TruncatedNormal(0.01)}
    assert layer.up.distributions() == {"weight": TruncatedNormal(0.02)}
    assert [use.op for use in layer.uses()] == [kind]


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("pins", [{}, {"linear_cross_entropy": "chunked"}])
def test_the_head_scores_as_its_logits_do(softcap: float | None, pins: dict[str, str]) -> None:
    head = filled(Head(9, 4, tied=False, softcap=softcap, std=0.02, choice=choose(9, CPU, pins), compute=torch.float32))
    hidden, targets = draw(5, 4), torch.tensor([0, 8, -1, 3, 3])
    assert head.weight is not None
    logits = head.logits(hidden, head.weight)
    total, losses = head(hidden, head.weight, targets)
    assert torch.allclose(total, functional.cross_entropy(logits, targets, ignore_index=-1, reduction="sum"))
    assert torch.allclose(losses.sum(), total)
    if softcap is not None:
        assert logits.abs().max() <= softcap
    assert head.choice.implementation == ("chunked" if pins else "reference")


def test_a_tied_head_has_no_weight_and_fp32_logits() -> None:
    head = Head(9, 4, tied=True, softcap=None, std=0.02, choice=choose(9, CPU, {}), compute=torch.bfloat16)
    assert list(head.parameters()) == []
    assert head.distributions() == {}
    assert head.logits(draw(2, 4, dtype=torch.bfloat16), draw(9, 4, dtype=torch.float32)).dtype == torch.float32
