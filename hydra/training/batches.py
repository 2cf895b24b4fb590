"""From a loader's batch to the micro-batches of one rank on its device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hydra.attention import SeqMeta
from hydra.data import StepBatch
from hydra.model import model_inputs


def micro_batches(
    batch: StepBatch, device: torch.device, masked: bool
) -> Iterator[tuple[Tensor, Tensor, SeqMeta, Tensor]]:
    """Tokens [B, T], targets [B, T], metadata and source ids [B] of each micro-batch, copied without waiting."""
    parts = (batch.tokens, batch.positions, batch.documents, batch.sources)
    moved = [part.to(device, non_blocking=True) for part in parts]
    for tokens, positions, documents, sources in zip(*moved, strict=True):
        yield (*model_inputs(tokens, positions, documents, masked=masked), sources)
