"""SwiGLU gate in plain PyTorch: the definition that every kernel of this op must match."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from hydra.kernels.precision import widen


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """`silu(gate) * up`, elementwise, computed in fp32 (fp64 for fp64).

    gate and up [..., F], results of two projections of the same input (arXiv:2002.05202); the result has their type.
    """
    return (functional.silu(widen(gate)) * widen(up)).to(gate.dtype)
