"""FlexAttention with block masks: documents and windows at nearly the speed of plain causal attention.

The mask is a predicate on (query, key) and a table of 128 x 128 tiles, each empty, partial or full. The table is
computed from the first and last document of every block of 128 tokens, so no T x T tensor is ever made; it is built
once per batch and shared by all layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from hydra.attention.backends.softmax.implementations.core import Derivations
from hydra.attention.meta import SeqMeta

BLOCK = 128
#: Stands for padding among document ids, so that ids stay sorted to the end of the row.
_PADDING = torch.iinfo(torch.int32).max

#: Rows shorter than a tile would otherwise go to the decoding kernel, which finds no configuration for these masks.
_OPTIONS: Any = {"BACKEND": "TRITON"}

_compiled = torch.compile(flex_attention, fullgraph=True)


@dataclass(frozen=True)
class Flex:
    """FlexAttention (arXiv:2412.05496), compiled; inside a compiled block it becomes part of that graph."""

    scale: float
    window: int | None

    @property
    def _key(self) -> str:
        return f"tiles/window={self.window}"

    def _mask(self, meta: SeqMeta) -> BlockMask:
        return block_mask(meta, self.window)

    def derivations(self) -> Derivations:
        """The table of tiles, shared by all layers with the same window."""
        return {self._key: self._mask}

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, meta: SeqMeta) -> Tensor:
        """Attend. A query that sees nothing (padding) gives 0."""
        y: Any = _compiled(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            block_mask=meta.get(self._key, self._mask),
            scale=self.scale,
            enable_gqa=q.shape[2] != k.shape[2],
            kernel_options=_OPTIONS,
        )
        result: Tensor = y.transpose(1, 2)
        return result


def block_mask(meta: SeqMeta, window: int | None) -> BlockMask:
    """The mask of `reference.visible` as tiles; the same pairs, no dense tensor, no host synchronisation."""
    length = meta.positions.shape[1]
    partial, full = _tiles(meta, window)
    numbers, indices = _ordered(partial)
    full_numbers, full_indices = _ordered(full)
    return BlockMask.from_kv_blocks(
        numbers,
        indices,
        full_numbers,
        full_indices,
        BLOCK_SIZE=BLOCK,
        mask_mod=_predicate(meta, window),
        seq_lengths=(length, length),
    )


def _tiles(meta: SeqMeta, window: int | None) -> tuple[Tensor, Tensor]:
    """Which tiles [B, 1, query block, key block] hold some visible pairs but not all, and which hold all."""
    batch, length = meta.positions.shape
    blocks = -(-length // BLOCK)
    documents = meta.documents if meta.masked else torch.zeros_like(meta.documents)
    sorted_ids = torch.where(documents < 0, _PADDING, documents)
    sorted_ids = functional.pad(sorted_ids, (0, blocks * BLOCK - length), value=_PADDING)
    positions = functional.pad(meta.positions, (0, blocks * BLOCK - length))
    query_first, query_last = sorted_ids[:, ::BLOCK, None], sorted_ids[:, BLOCK - 1 :: BLOCK, None]
    key_first, key_last = sorted_ids[:, None, ::BLOCK], sorted_ids[:, None, BLOCK - 1 :: BLOCK]
    index = torch.arange(blocks, device=documents.device)
    query, key = index[:, None], index[None, :]
    some = (key <= query) & (query_first <= key_last) & (query_first != _PADDING)
    full = (key < query) & (key_first == query_last) & (query_last != _PADDING)
    if window is not None:
        some = some & ((query - key) * BLOCK - (BLOCK - 1) < window)
        reach = positions[:, BLOCK - 1 :: BLOCK, None] - positions[:, None, ::BLOCK]
        full = full & (reach < window)
    return (some & ~full).expand(batch, blocks, blocks).unsqueeze(1), (some & full).unsqueeze(1)


def _ordered(tiles: Tensor) -> tuple[Tensor, Tensor]:
    """Number of tiles per query block, and their key blocks first in the row, both int32."""
    order = torch.argsort(tiles.to(torch.int32), dim=-1, descending=True, stable=True)
    return tiles.sum(dim=-1, dtype=torch.int32), order.to(torch.int32)


def _predicate(meta: SeqMeta, window: int | None) -> Any:
    documents, positions, masked = meta.documents, meta.positions, meta.masked

    def visible(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        allowed = k <= q
        if masked:
            allowed = allowed & (documents[b, q] == documents[b, k]) & (documents[b, q] >= 0)
        if window is not None:
            allowed = allowed & (positions[b, q] - positions[b, k] < window)
        return allowed

    return visible
