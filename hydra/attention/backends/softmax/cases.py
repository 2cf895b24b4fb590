"""Small problems on which a built attention core and its cache are compared with the reference."""

from __future__ import annotations

import torch
from torch import Tensor

from hydra.attention.backends.softmax.cache import SoftmaxState, append, attend
from hydra.attention.backends.softmax.config import SoftmaxConfig
from hydra.attention.backends.softmax.implementations import Core
from hydra.attention.backends.softmax.reference import attention, visible
from hydra.attention.meta import SeqMeta
from hydra.kernels.cases import Case, normal

LENGTH = 192


def core_case(
    core: Core, config: SoftmaxConfig, window: int | None, masked: bool, dtype: torch.dtype, device: torch.device
) -> Case:
    """The core of `forward` against the dense reference, over three documents and padding where batches are masked."""
    meta = _meta(masked, device)
    mask = visible(meta, window)

    def reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k, v, mask, config.head_width**-0.5)

    def candidate(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return core(q, k, v, meta)

    return Case(_inputs(config, dtype, device), candidate, reference)


def cache_case(config: SoftmaxConfig, window: int | None, dtype: torch.dtype, device: torch.device) -> Case:
    """Attention over the KV cache, the last third appended to the first two, against the dense reference."""
    meta = _meta(True, device)
    mask = visible(meta, window)
    cut = 2 * LENGTH // 3

    def reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k, v, mask, config.head_width**-0.5)[:, cut:]

    def candidate(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        state = SoftmaxState.empty(q.shape[0], LENGTH, k.shape[2], config.head_width, device, dtype)
        before = append(state, k[:, :cut], v[:, :cut], _part(meta, slice(None, cut)))
        rest = _part(meta, slice(cut, None))
        after = append(before, k[:, cut:], v[:, cut:], rest)
        return attend(q[:, cut:], before.lens, after, rest, window, config.head_width**-0.5)

    return Case(_inputs(config, dtype, device), candidate, reference, backward=False)


def _inputs(config: SoftmaxConfig, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    kv_heads = min(config.kv_heads, 2)
    heads = kv_heads * (config.heads // config.kv_heads)
    shapes = [(2, LENGTH, count, config.head_width) for count in (heads, kv_heads, kv_heads)]
    q, k, v = (normal(shape, device, dtype, seed) for seed, shape in enumerate(shapes))
    return q, k, v


def _meta(masked: bool, device: torch.device) -> SeqMeta:
    tokens = torch.zeros(2, LENGTH, dtype=torch.int64, device=device)
    if not masked:
        return SeqMeta.causal(tokens)
    documents = torch.zeros(2, LENGTH, dtype=torch.int32, device=device)
    documents[:, 50:], documents[:, 51:] = 1, 2
    documents[1, LENGTH - 9 :] = -1
    return SeqMeta.packed(tokens, documents)


def _part(meta: SeqMeta, piece: slice) -> SeqMeta:
    return SeqMeta(
        meta.positions[:, piece],
        meta.documents[:, piece],
        meta.tokens[:, piece],
        masked=meta.masked,
        max_document=meta.max_document,
    )
