"""Layer norm in plain PyTorch: the definition that every kernel of this op must match."""

from __future__ import annotations

import torch
from torch import Tensor

from hydra.kernels.precision import widen


def layer_norm(x: Tensor, weight: Tensor | None, epsilon: float = 1e-6) -> Tensor:
    """`(x - mean(x)) / sqrt(variance(x) + epsilon) * weight` over the last axis (arXiv:1607.06450), without bias.

    x [..., N] any floating type; weight [N] or None for the bare norm. Statistics in fp32 (fp64 for fp64); the
    result has the type and shape of x.
    """
    wide = widen(x)
    centred = wide - wide.mean(-1, keepdim=True)
    scaled = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + epsilon)
    if weight is not None:
        scaled = scaled * weight
    return scaled.to(x.dtype)
