"""Rotary position embedding in plain PyTorch: the definition that every kernel of this op must match."""

from __future__ import annotations

import torch
from torch import Tensor

from hydra.kernels.precision import widen


def angles(positions: Tensor, width: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of `position * base^(-2m/width)` for m = 0 ... width/2 - 1.

    positions int32 [B, T]; results fp32 [B, T, width/2]. The angles are never computed in bf16: at position 4096 its
    spacing is 16 radians.
    """
    exponents = torch.arange(0, width, 2, dtype=torch.float32, device=positions.device) / width
    frequencies = torch.pow(base, -exponents)
    phase = positions.to(torch.float32).unsqueeze(-1) * frequencies
    return phase.cos(), phase.sin()


def rope(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> tuple[Tensor, Tensor]:
    """Queries and keys with every pair of channels turned by its angle (arXiv:2104.09864).

    q [B, T, Hq, D], k [B, T, Hk, D]; cos, sin fp32 [B, T, D/2]. A pair is (m, m + D/2), or (2m, 2m + 1) when
    `interleaved`: `(a, b) -> (a cos - b sin, a sin + b cos)`, computed in fp32. Rotation makes `q . k` depend on the
    distance of the two positions only.
    """
    return _rotated(q, cos, sin, interleaved), _rotated(k, cos, sin, interleaved)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    wide = widen(x)
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)  # [B, T, 1, D/2]
    if interleaved:
        a, b = wide[..., 0::2], wide[..., 1::2]
        turned = torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)
    else:
        a, b = wide.chunk(2, dim=-1)
        turned = torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
    return turned.to(x.dtype)
