"""One optimizer step, without a single wait of the host for the device.

Micro-batches forward and backward, one exchange of gradients, global norm, verdict, clip, optimizer. The verdict is a
number on the device: a step whose loss or gradient is not finite changes no weight, no moment and no counter of the
bias correction. What happened leaves the device as one row of numbers, read back later by whoever keeps the metrics.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hydra.data import StepBatch
from hydra.manifest import Manifest
from hydra.model import IGNORED
from hydra.optim import clip, factor
from hydra.training.batches import micro_batches
from hydra.training.parallel import Layout
from hydra.training.state import TrainState
from hydra.training.world import World

#: Names of the leading numbers of a result row; nats, targets and inputs (padding excluded) by source follow.
COLUMNS = ("loss", "grad_norm", "clip", "skipped")
#: Numbers per source that follow them.
SUMS = ("nats", "targets", "inputs")


class Step:
    """Does steps; holds the parts that a step needs and nothing that changes between steps."""

    def __init__(self, layout: Layout, state: TrainState, manifest: Manifest, world: World) -> None:
        self._layout, self._state, self._world = layout, state, world
        self._schedule, self._total = manifest.schedule, manifest.training.steps
        self._clip, self._masked = manifest.training.clip, manifest.data.document_masks
        self._sources = len(manifest.data.sources)
        self._weights = [value for _, value in state.parameters]

    def lr_factor(self, step: int) -> float:
        """What the schedule multiplies every rule's peak learning rate by, at a step counted from 0."""
        return factor(self._schedule, step, self._total)

    def run(self, batch: StepBatch) -> Tensor:
        """Train on one batch; returns its result row, fp32 on the device: COLUMNS, then [SUMS, sources] flattened."""
        optimizers = self._state.optimizers
        sums = self._accumulate(batch)
        loss = sums[0].sum() / batch.targets_global
        norm, applied = clip(self._weights, self._clip)
        skipped = (~(torch.isfinite(loss) & torch.isfinite(norm))).to(torch.float32)
        optimizers.set_factor(self.lr_factor(batch.step))
        optimizers.step(skipped)
        optimizers.zero_grad()
        return torch.cat([torch.stack([loss, norm, applied, skipped]), sums.flatten()])

    def _accumulate(self, batch: StepBatch) -> Tensor:
        """Gradients of the whole batch; returns SUMS by source over all ranks, [3, sources]."""
        sums = torch.zeros(len(SUMS), self._sources, device=self._layout.device)
        scale = self._layout.scale / batch.targets_global
        last = len(batch.tokens) - 1
        for index, (tokens, targets, meta, sources) in enumerate(
            micro_batches(batch, self._layout.device, self._masked)
        ):
            with self._layout.accumulating(last=index == last):
                total, rows = self._layout.loss(tokens, targets, meta)
                (total * scale).backward()
            # One-hot sums instead of index_add: adding in a fixed order keeps exact runs exact on a GPU too.
            share = (sources[:, None] == torch.arange(self._sources, device=sources.device)).to(torch.float32)
            counts = torch.stack([rows, (targets != IGNORED).sum(dim=1), (meta.documents >= 0).sum(dim=1)])
            sums += (counts[:, :, None] * share).sum(dim=1)
        return self._world.sum(sums)
