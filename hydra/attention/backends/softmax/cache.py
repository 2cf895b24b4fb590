"""The KV cache of softmax attention: keys and values of the tokens so far, and attention over them.

Keys are stored after norm and rotation, so a token is rotated once. The cache is as long as the row may become, also
for layers with a window: their masks hide what lies further back.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from hydra.attention.meta import SeqMeta


class SoftmaxState(NamedTuple):
    """Keys and values of B rows, appended in order; a tuple of tensors only, so it can be captured in a graph.

    The buffers have one slot more than the longest row: padding and tokens beyond the end are written there, and
    nothing reads it. Slots past `lens` may hold anything, NaN included.
    """

    keys: Tensor  # [B, S + 1, Hk, d]
    values: Tensor  # [B, S + 1, Hk, d]
    positions: Tensor  # int32 [B, S + 1], position inside the document
    documents: Tensor  # int32 [B, S + 1]
    lens: Tensor  # int32 [B], tokens stored
    doc: Tensor  # int32 [B], document of the last token, -1 when there is none

    @classmethod
    def empty(
        cls, batch: int, max_length: int, kv_heads: int, head_width: int, device: torch.device, dtype: torch.dtype
    ) -> SoftmaxState:
        """A state of no tokens, for rows of at most `max_length`."""
        slots = (batch, max_length + 1)
        return cls(
            keys=torch.zeros(*slots, kv_heads, head_width, device=device, dtype=dtype),
            values=torch.zeros(*slots, kv_heads, head_width, device=device, dtype=dtype),
            positions=torch.zeros(slots, device=device, dtype=torch.int32),
            documents=torch.full(slots, -1, device=device, dtype=torch.int32),
            lens=torch.zeros(batch, device=device, dtype=torch.int32),
            doc=torch.full((batch,), -1, device=device, dtype=torch.int32),
        )

    def reorder(self, index: Tensor) -> SoftmaxState:
        """Rows picked by index [B'], as beam search needs."""
        return SoftmaxState(*(part.index_select(0, index) for part in self))

    def fork(self, copies: int) -> SoftmaxState:
        """Every row `copies` times, side by side: several continuations of one prompt."""
        return SoftmaxState(*(part.repeat_interleave(copies, dim=0) for part in self))

    def truncate(self, lens: Tensor) -> SoftmaxState:
        """Rows cut back to at most `lens` (int32 [B]) tokens, as rejected speculation needs."""
        kept = torch.minimum(self.lens, lens)
        last = self.documents.gather(1, (kept - 1).clamp_min(0).long().unsqueeze(1)).squeeze(1)
        return self._replace(lens=kept, doc=torch.where(kept > 0, last, -1))


def append(state: SoftmaxState, k: Tensor, v: Tensor, meta: SeqMeta) -> SoftmaxState:
    """The state with T more tokens per row; padding (document -1, on the right) is not stored.

    k, v [B, T, Hk, d]. Buffers are written in place, so the given state is consumed; only where gradients flow
    through the new keys are they copied.
    """
    capacity = state.keys.shape[1] - 1
    real = meta.documents >= 0
    slots = state.lens[:, None] + torch.arange(k.shape[1], dtype=torch.int32, device=k.device)
    slots = torch.where(real & (slots < capacity), slots, capacity).long()
    rows = torch.arange(k.shape[0], device=k.device)[:, None].expand_as(slots)
    put = torch.Tensor.index_put if torch.is_grad_enabled() and k.requires_grad else torch.Tensor.index_put_
    count = real.sum(dim=1, dtype=torch.int32)
    last = meta.documents.gather(1, (count - 1).clamp_min(0).long().unsqueeze(1)).squeeze(1)
    return SoftmaxState(
        keys=put(state.keys, (rows, slots), k),
        values=put(state.values, (rows, slots), v),
        positions=put(state.positions, (rows, slots), meta.positions),
        documents=put(state.documents, (rows, slots), meta.documents),
        lens=state.lens + count,
        doc=torch.where(count > 0, last, state.doc),
    )


def attend(q: Tensor, before: Tensor, state: SoftmaxState, meta: SeqMeta, window: int | None, scale: float) -> Tensor:
    """Attention of T new tokens to everything stored, themselves included.

    q [B, T, Hq, d]; `before` int32 [B] is `lens` before they were appended. Returns [B, T, Hq, d]; padding gives 0,
    and a row that has outgrown its buffer gives NaN, because silently forgotten tokens would look like a bad model.
    """
    mask = _visible(before, state, meta, window)
    batch, length, heads, width = q.shape
    kv_heads = state.keys.shape[2]
    live = (torch.arange(state.keys.shape[1], device=q.device) < state.lens[:, None])[:, :, None, None]
    keys = torch.where(live, state.keys, 0).transpose(1, 2)  # [B, Hk, S + 1, d]
    values = torch.where(live, state.values, 0).transpose(1, 2)
    groups = heads // kv_heads
    grouped = q.unflatten(2, (kv_heads, groups)).permute(0, 2, 3, 1, 4).flatten(2, 3)  # [B, Hk, g T, d]
    shown = (mask | ~mask.any(dim=-1, keepdim=True)).repeat(1, groups, 1).unsqueeze(1)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        y = functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=shown, scale=scale)
    y = y.unflatten(2, (groups, length)).permute(0, 3, 1, 2, 4).reshape(batch, length, heads, width)
    y = torch.where((meta.documents >= 0)[:, :, None, None], y, 0)
    overgrown = state.lens > state.keys.shape[1] - 1
    return torch.where(overgrown[:, None, None, None], torch.nan, y)


def _visible(before: Tensor, state: SoftmaxState, meta: SeqMeta, window: int | None) -> Tensor:
    """Which slot each new token may see, bool [B, T, S + 1]: its own document, not later, within the window."""
    slot = torch.arange(state.keys.shape[1], dtype=torch.int32, device=before.device)
    own = before[:, None] + torch.arange(meta.documents.shape[1], dtype=torch.int32, device=before.device)
    query, key = meta.documents[:, :, None], state.documents[:, None, :]
    allowed = (slot <= own[:, :, None]) & (slot < state.keys.shape[1] - 1) & (query == key) & (query >= 0)
    if window is not None:
        allowed = allowed & (meta.positions[:, :, None] - state.positions[:, None, :] < window)
    return allowed
