"""FlexAttention's tables of tiles, made from document boundaries, equal those made from every pair."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from hydra.attention import SeqMeta
from hydra.attention.backends.softmax.implementations.flex import block_mask
from hydra.attention.backends.softmax.reference import attention, visible


def packed(lengths: list[int], padding: int) -> SeqMeta:
    """One row of documents of these lengths, then padding."""
    ids = [torch.full((length,), 3 * index, dtype=torch.int32) for index, length in enumerate(lengths)]
    documents = torch.cat([*ids, torch.full((padding,), -1, dtype=torch.int32)]).unsqueeze(0)
    return SeqMeta.packed(torch.zeros_like(documents, dtype=torch.int64), documents)


def check(meta: SeqMeta, window: int | None) -> None:
    length = meta.positions.shape[1]
    ours = block_mask(meta, window)
    every = create_block_mask(ours.mask_mod, meta.positions.shape[0], 1, length, length, device="cpu")
    assert torch.equal(ours.to_dense(), every.to_dense())
    assert torch.equal(ours.full_kv_num_blocks, every.full_kv_num_blocks)
    for row, count in enumerate(ours.full_kv_num_blocks[0, 0].tolist()):
        assert torch.equal(
            ours.full_kv_indices[0, 0, row, :count].sort().values,
            every.full_kv_indices[0, 0, row, :count].sort().values,
        )


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    padding=st.integers(0, 200),
    window=st.one_of(st.none(), st.integers(1, 400)),
)
def test_equals_the_table_of_every_pair(lengths: list[int], padding: int, window: int | None) -> None:
    check(packed(lengths, padding), window)


@pytest.mark.parametrize("length", [1, 127, 128, 129, 384])
@pytest.mark.parametrize("window", [None, 1, 128, 129])
def test_rows_of_one_document(length: int, window: int | None) -> None:
    check(SeqMeta.causal(torch.zeros(2, length, dtype=torch.int64)), window)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("window", [None, 70])
def test_attention_over_tiles_equals_the_reference(normal, window) -> None:
    meta = packed([100, 1, 60, 99], 12)
    q, k, v = (normal(1, 272, n, 16, seed=n) for n in (4, 2, 2))
    tiles = block_mask(meta, window)
    parts = [x.transpose(1, 2) for x in (q, k, v)]
    y = flex_attention(*parts, block_mask=tiles, scale=0.25, enable_gqa=True).transpose(1, 2)
    assert torch.allclose(y, attention(q, k, v, visible(meta, window), 0.25), atol=2e-6)
    assert not y[:, 260:].any()
