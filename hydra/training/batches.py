"""From a loader's batch to the tensors of one micro-batch on the device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hydra.attention.meta import SeqMeta
from hydra.data import StepBatch

#: Marks a position whose next token is not to be predicted.
IGNORED = -1


def targets_of(tokens: Tensor, documents: Tensor) -> Tensor:
    """Next-token targets [B, T] of rows [B, T+1]; IGNORED where a document ends or padding follows."""
    same = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    return torch.where(same, tokens[:, 1:].long(), IGNORED)


def micro_batches(
    batch: StepBatch, device: torch.device, masked: bool
) -> Iterator[tuple[Tensor, Tensor, SeqMeta, Tensor]]:
    """Tokens [B, T], targets [B, T], metadata and source ids [B] of each micro-batch, copied without waiting."""
    moved = [
        value.to(device, non_blocking=True) for value in (batch.tokens, batch.positions, batch.documents, batch.sources)
    ]
    for tokens, positions, documents, sources in zip(*moved, strict=True):
        yield (*model_inputs(tokens, positions, documents, masked), sources)


def model_inputs(tokens: Tensor, positions: Tensor, documents: Tensor, masked: bool) -> tuple[Tensor, Tensor, SeqMeta]:
    """What the model takes, from rows of T+1 on its device: tokens [B, T], targets [B, T] and metadata."""
    inputs = tokens[:, :-1].long()
    meta = SeqMeta(
        positions=positions[:, :-1].contiguous(),
        documents=documents[:, :-1].contiguous(),
        tokens=inputs,
        masked=masked,
        max_document=inputs.shape[1],
    )
    return inputs, targets_of(tokens, documents), meta
