"""The references: their formulas, gradients, types and shapes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from hydra.kernels.adamw import Settings, adamw
from hydra.kernels.geglu import geglu
from hydra.kernels.gelu import gelu
from hydra.kernels.layer_norm import layer_norm
from hydra.kernels.relu_squared import relu_squared
from hydra.kernels.rms_norm import rms_norm
from hydra.kernels.rope import angles, rope
from hydra.kernels.swiglu import swiglu


def rotated(q: torch.Tensor, k: torch.Tensor, interleaved: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    positions = torch.tensor([[0, 3, 1]], dtype=torch.int32)
    cos, sin = (table.to(q.dtype) for table in angles(positions, q.shape[-1], 100.0))
    return rope(q, k, cos, sin, interleaved)


GRADCHECKED = {
    "rms_norm": (rms_norm, [(3, 5), (5,)]),
    "rms_norm, bare": (lambda x: rms_norm(x, None), [(3, 5)]),
    "layer_norm": (layer_norm, [(3, 5), (5,)]),
    "layer_norm, bare": (lambda x: layer_norm(x, None), [(3, 5)]),
    "swiglu": (swiglu, [(3, 5), (3, 5)]),
    "geglu": (geglu, [(3, 5), (3, 5)]),
    "relu_squared": (relu_squared, [(3, 5)]),
    "gelu": (gelu, [(3, 5)]),
    "rope": (rotated, [(1, 3, 2, 4), (1, 3, 1, 4)]),
    "rope, interleaved": (lambda q, k: rotated(q, k, True), [(1, 3, 2, 4), (1, 3, 1, 4)]),
}


@pytest.mark.parametrize("name", GRADCHECKED)
def test_gradcheck(normal, name: str) -> None:
    op, shapes = GRADCHECKED[name]
    assert torch.autograd.gradcheck(op, [normal(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)])


@pytest.mark.parametrize("name", GRADCHECKED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_results_keep_type_and_are_computed_wider(normal, name: str, dtype: torch.dtype) -> None:
    op, shapes = GRADCHECKED[name]
    inputs = [normal(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]
    found, exact = op(*inputs), op(*(x.double() for x in inputs))
    for y, wanted in zip(*(v if isinstance(v, tuple) else (v,) for v in (found, exact)), strict=True):
        assert y.dtype == dtype
        # fp32 inside: all that bf16 loses is the last rounding.
        assert (y.double() - wanted).abs().max() <= torch.finfo(dtype).eps * 0.51 * wanted.abs().max() + 1e-6


def test_norms_follow_their_formulas(normal) -> None:
    x, weight = normal(4, 7), normal(7, seed=2)
    assert torch.allclose(rms_norm(x, weight, 0.1), x / (x.pow(2).mean(-1, keepdim=True) + 0.1).sqrt() * weight)
    assert torch.allclose(layer_norm(x, weight, 0.1), functional.layer_norm(x, (7,), weight, eps=0.1))


def test_activations_follow_their_formulas(normal) -> None:
    gate, up = normal(50), normal(50, seed=2)
    normal_cdf = torch.tensor([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in gate.tolist()])
    assert torch.allclose(swiglu(gate, up), gate / (1 + torch.exp(-gate)) * up)
    assert torch.allclose(geglu(gate, up), gate * normal_cdf * up)
    assert torch.allclose(gelu(gate), gate * normal_cdf)
    assert torch.allclose(relu_squared(gate), torch.where(gate > 0, gate * gate, 0.0))


@pytest.mark.parametrize("interleaved", [False, True])
def test_rope_turns_each_pair_by_its_angle(normal, interleaved: bool) -> None:
    width, base = 6, 50.0
    x = normal(1, 4, 2, width)
    cos, sin = angles(torch.arange(4, dtype=torch.int32).unsqueeze(0), width, base)
    y, _ = rope(x, x, cos.double(), sin.double(), interleaved)
    for position in range(4):
        for m in range(width // 2):
            a, b = (2 * m, 2 * m + 1) if interleaved else (m, m + width // 2)
            pair = torch.complex(x[0, position, :, a], x[0, position, :, b])
            wanted = pair * complex(
                math.cos(position * base ** (-2 * m / width)), math.sin(position * base ** (-2 * m / width))
            )
            assert torch.allclose(y[0, position, :, a], wanted.real, atol=1e-6)
            assert torch.allclose(y[0, position, :, b], wanted.imag, atol=1e-6)


@given(shift=st.integers(0, 3000), interleaved=st.booleans())
def test_rope_scores_depend_on_distance_only(shift: int, interleaved: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 1, 1, 8, generator=generator, dtype=torch.float64) for _ in range(2))

    def score(position: int) -> float:
        tables = [angles(torch.tensor([[p]], dtype=torch.int32), 8, 10000.0) for p in (position + 5, position)]
        turned_q = rope(q, k, *(t.double() for t in tables[0]), interleaved)[0]
        turned_k = rope(q, k, *(t.double() for t in tables[1]), interleaved)[1]
        return float((turned_q * turned_k).sum())

    assert math.isclose(score(shift), score(0), abs_tol=2e-3)  # fp32 angles at 3000 radians


def test_angles_are_fp32_even_at_far_positions() -> None:
    cos, sin = angles(torch.tensor([[8191]], dtype=torch.int32), 64, 10000.0)
    assert cos.dtype == sin.dtype == torch.float32
    assert math.isclose(cos[0, 0, 0].item(), math.cos(8191.0), abs_tol=1e-6)
    assert math.isclose(sin[0, 0, 16].item(), math.sin(8191.0 * 0.01), abs_tol=1e-4)


def test_adamw_equals_torch() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.nn.Parameter(torch.randn(9, generator=generator, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=0.01, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.2)
    parts = (weight.detach().clone(), torch.zeros(9).double(), torch.zeros(9).double())
    for step in range(1, 5):
        weight.grad = torch.randn(9, generator=generator, dtype=torch.float64)
        optimizer.step()
        parts = adamw(parts[0], weight.grad, parts[1], parts[2], Settings(0.01, 0.8, 0.9, 1e-6, 0.2, step))
        assert torch.allclose(parts[0], weight, atol=1e-14)
