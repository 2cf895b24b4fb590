"""Softmax attention in plain PyTorch: the definition that every implementation must match."""

from __future__ import annotations

import torch
from torch import Tensor

from hydra.attention.meta import SeqMeta
from hydra.kernels.precision import widen


def attention(q: Tensor, k: Tensor, v: Tensor, visible: Tensor, scale: float) -> Tensor:
    """Weighted sums of values, weights `softmax(scale q . k)` over the visible keys.

    q [B, T, Hq, d]; k, v [B, S, Hk, d], query head h reads key head h // (Hq / Hk); visible bool [B, T, S], True = may
    attend. A query that sees nothing gives 0. Computed in fp32 (fp64 for fp64), result in q's type. Keys and values
    no query may see are never read, so they may hold NaN.
    """
    groups = q.shape[2] // k.shape[2]
    seen = visible.any(dim=1)[:, :, None, None]  # [B, S, 1, 1]
    wide_k = widen(torch.where(seen, k, 0)).repeat_interleave(groups, dim=2)
    wide_v = widen(torch.where(seen, v, 0)).repeat_interleave(groups, dim=2)
    logits = torch.einsum("bthd,bshd->bhts", widen(q), wide_k) * scale
    allowed = visible.unsqueeze(1)  # [B, 1, T, S]
    some = allowed.any(dim=-1, keepdim=True)
    weights = torch.softmax(logits.masked_fill(~allowed & some, -torch.inf), dim=-1) * some
    return torch.einsum("bhts,bshd->bthd", weights, wide_v).to(q.dtype)


def visible(meta: SeqMeta, window: int | None) -> Tensor:
    """Which key each query may see, bool [B, T, T] (query, key): the mask as one dense tensor.

    Visible iff both are in the same document (and neither is padding), the key is not later, and it lies within the
    window: `position_query - position_key < window`, so the window counts the query itself. Rows that are not
    `masked` are one document.
    """
    batch, length = meta.positions.shape
    steps = torch.arange(length, device=meta.positions.device)
    allowed = (steps[None, :] <= steps[:, None]).expand(batch, length, length)
    if meta.masked:
        query, key = meta.documents[:, :, None], meta.documents[:, None, :]
        allowed = allowed & (query == key) & (query >= 0)
    if window is not None:
        allowed = allowed & (meta.positions[:, :, None] - meta.positions[:, None, :] < window)
    return allowed
