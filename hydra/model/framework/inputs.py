"""From packed rows of T+1 tokens to what the model takes; the one place that decides what counts as a target."""

from __future__ import annotations

import torch
from torch import Tensor

from hydra.attention import SeqMeta

#: Marks a position whose next token is not to be predicted.
IGNORED = -1


def targets_of(tokens: Tensor, documents: Tensor) -> Tensor:
    """Next-token targets [B, T] of rows [B, T+1]; IGNORED where a document ends or padding follows."""
    same = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    return torch.where(same, tokens[:, 1:].long(), IGNORED)


def model_inputs(
    tokens: Tensor, positions: Tensor, documents: Tensor, *, masked: bool, max_document: int | None = None
) -> tuple[Tensor, Tensor, SeqMeta]:
    """Tokens [B, T], targets [B, T] and metadata of rows [B, T+1], all on the rows' device.

    `masked` says whether rows hold several documents that must not see each other; `max_document` bounds a document's
    length (absent: T).
    """
    inputs = tokens[:, :-1].long()
    meta = SeqMeta(
        positions=positions[:, :-1].contiguous(),
        documents=documents[:, :-1].contiguous(),
        tokens=inputs,
        masked=masked,
        max_document=max_document or inputs.shape[1],
    )
    return inputs, targets_of(tokens, documents), meta
