"""Clipping of the global gradient norm, without reading anything back to the host."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def clip(parameters: Iterable[Tensor], limit: float | None) -> tuple[Tensor, Tensor]:
    """Scale all gradients by `min(1, limit / norm)` in place; returns (norm before, factor), scalars on the device.

    The norm is the Euclidean norm over all gradients together, one fused pass; parameters without a gradient count as
    nothing. `limit=None` only measures. Where the norm is not finite the factor is 1 and the gradients are left as
    they are: the caller gives `~isfinite(norm)` to the optimizer as `found_inf`, which withholds the step. A finite
    gradient whose square overflows fp32 (above 1.8e19) counts as not finite.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    assert gradients, "clipping needs at least one gradient: call it after the backward pass"
    norm = torch.nn.utils.get_total_norm(gradients, norm_type=2.0, foreach=True)
    if limit is None:
        return norm, torch.ones_like(norm)
    ratio = torch.clamp(limit / norm, max=1.0)
    factor = torch.where(torch.isfinite(norm), ratio, torch.ones_like(norm))
    torch._foreach_mul_(gradients, factor)
    return norm, factor
