"""GELU in plain PyTorch: the definition that every kernel of this op must match."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from hydra.kernels.precision import widen


def gelu(x: Tensor) -> Tensor:
    """`x Phi(x)`, elementwise, computed in fp32 (fp64 for fp64).

    x [..., F], Phi the normal distribution function, exact and not its tanh form (arXiv:1606.08415).
    """
    return (functional.gelu(widen(x))).to(x.dtype)
