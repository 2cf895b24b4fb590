"""Cases: an op on tiny inputs, once by the implementation that will run and once by its reference.

They are what stands behind the word `verified` in a report: both are executed on the device, forward and backward, and
compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra.kernels.geglu import geglu
from hydra.kernels.gelu import gelu
from hydra.kernels.layer_norm import layer_norm
from hydra.kernels.relu_squared import relu_squared
from hydra.kernels.rms_norm import rms_norm
from hydra.kernels.rope import angles, rope
from hydra.kernels.swiglu import swiglu

#: An op with everything but its floating inputs bound.
Run = Callable[..., Tensor | tuple[Tensor, ...]]


@dataclass(frozen=True)
class Case:
    """One op on small inputs: `candidate` is what the model runs, `reference` the truth; both take `inputs`."""

    inputs: tuple[Tensor, ...]
    candidate: Run
    reference: Run
    backward: bool = True  # whether gradients are compared too


def elementwise(op: str, device: torch.device, dtype: torch.dtype) -> Case:
    """The case of an op that has no implementation of its own: its reference, which a compiler may rewrite."""
    return _ELEMENTWISE[op](device, dtype)


def normal(shape: Sequence[int], device: torch.device, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Seeded normal numbers, the same on every device, rounded to `dtype`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tuple(shape), generator=generator).to(device, dtype)


def _norm(op: Callable[[Tensor, Tensor | None], Tensor]) -> Callable[[torch.device, torch.dtype], Case]:
    def case(device: torch.device, dtype: torch.dtype) -> Case:
        inputs = (normal((6, 40), device, dtype), normal((40,), device, torch.float32, 1))
        return Case(inputs, op, op)

    return case


def _gate(op: Callable[[Tensor, Tensor], Tensor]) -> Callable[[torch.device, torch.dtype], Case]:
    def case(device: torch.device, dtype: torch.dtype) -> Case:
        return Case((normal((6, 40), device, dtype), normal((6, 40), device, dtype, 1)), op, op)

    return case


def _activation(op: Callable[[Tensor], Tensor]) -> Callable[[torch.device, torch.dtype], Case]:
    def case(device: torch.device, dtype: torch.dtype) -> Case:
        return Case((normal((6, 40), device, dtype),), op, op)

    return case


def _rope(device: torch.device, dtype: torch.dtype) -> Case:
    positions = torch.arange(7, dtype=torch.int32, device=device).expand(2, 7)
    cos, sin = angles(positions, 16, 10000.0)

    def run(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return rope(q, k, cos, sin)

    return Case((normal((2, 7, 4, 16), device, dtype), normal((2, 7, 2, 16), device, dtype, 1)), run, run)


_ELEMENTWISE: dict[str, Callable[[torch.device, torch.dtype], Case]] = {
    "rms_norm": _norm(rms_norm),
    "layer_norm": _norm(layer_norm),
    "swiglu": _gate(swiglu),
    "geglu": _gate(geglu),
    "relu_squared": _activation(relu_squared),
    "gelu": _activation(gelu),
    "rope": _rope,
}
#: Ops whose implementation is their reference, as it is or inside a compiled block.
ELEMENTWISE = tuple(_ELEMENTWISE)
