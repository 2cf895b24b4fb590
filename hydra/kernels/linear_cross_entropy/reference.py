"""Linear cross-entropy in plain PyTorch: the definition that every implementation of this op must match."""

from __future__ import annotations

import torch
from torch import Tensor

from hydra.kernels.precision import widen


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float | None = None
) -> tuple[Tensor, Tensor]:
    """Sum over rows of `logsumexp(logits) - logits[target]`, and the same per row.

    hidden [N, D], weight [V, D] (cast to hidden's type), targets int64 [N] with -1 for rows that do not count. Logits
    are `hidden weight^T`, or `c tanh(logits / c)` with a softcap (arXiv:2408.00118). Everything after the product is
    fp32 (fp64 for fp64). Returns the total in nats (a differentiable scalar) and the row losses [N] (not
    differentiable, 0 where the target is -1). Holds all logits [N, V].
    """
    logits = widen(hidden @ weight.to(hidden.dtype).t())
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    valid = targets >= 0
    chosen = logits.gather(-1, targets.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    losses = torch.where(valid, torch.logsumexp(logits, dim=-1) - chosen, 0.0)
    return losses.sum(), losses.detach()
