"""Positions, documents and what is derived from them."""

from __future__ import annotations

import torch

from hydra.attention import SeqMeta


def test_positions_start_anew_in_every_document() -> None:
    documents = torch.tensor([[2, 2, 2, 5, 7, 7, -1, -1]], dtype=torch.int32)
    meta = SeqMeta.packed(torch.zeros(1, 8, dtype=torch.int64), documents)
    assert meta.positions.tolist() == [[0, 1, 2, 0, 0, 1, 0, 1]]
    assert meta.masked


def test_a_continued_row_counts_on() -> None:
    tokens = torch.zeros(2, 3, dtype=torch.int64)
    assert SeqMeta.causal(tokens, 5).positions.tolist() == [[5, 6, 7]] * 2
    assert SeqMeta.causal(tokens, torch.tensor([1, 4])).positions.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_derivations_are_made_once_and_found_again() -> None:
    made: list[str] = []

    def derive(meta: SeqMeta) -> str:
        made.append("made")
        return "table"

    meta = SeqMeta.causal(torch.zeros(1, 2, dtype=torch.int64))
    assert meta.get("key", derive) == "table"
    ready = meta.prepared({"key": derive})
    assert [ready.get("key", derive) for _ in range(3)] == ["table"] * 3
    assert len(made) == 2
