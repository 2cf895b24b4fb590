"""Squared ReLU in plain PyTorch: the definition that every kernel of this op must match."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from hydra.kernels.precision import widen


def relu_squared(x: Tensor) -> Tensor:
    """`max(x, 0)^2`, elementwise, computed in fp32 (fp64 for fp64).

    x [..., F] (arXiv:2109.08668); the result has its type.
    """
    return (functional.relu(widen(x)).square()).to(x.dtype)
