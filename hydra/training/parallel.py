"""The layout: activation checkpointing, then compilation per block, then data parallelism, from top to bottom.

The model knows nothing of this; it is applied from outside, in an order that matters: recomputation must lie inside
the compiled region, and the data-parallel wrapper around everything. Sharded layouts take the wrapper's place here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from hydra.attention import SeqMeta
from hydra.errors import UsageError
from hydra.manifest import Manifest
from hydra.model import LanguageModel
from hydra.training.resolve import Resolved
from hydra.training.world import World

_MATMULS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
_KEPT = (
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.higher_order.flex_attention,
)


class Layout:
    """A model laid out over the ranks: called like the model, trained like one."""

    def __init__(self, model: LanguageModel, manifest: Manifest, resolved: Resolved, world: World) -> None:
        check_ranks(manifest, world.size)
        self.model = model
        self.device = next(model.parameters()).device
        _recompute(model, manifest.training.activation_checkpointing)
        if resolved.compile == "blocks":
            for _, region in model.regions():
                region.compile(fullgraph=True, dynamic=False)
        self._replicas: DistributedDataParallel | None = None
        if world.size > 1:
            self._replicas = DistributedDataParallel(
                model,
                device_ids=[self.device.index] if self.device.type == "cuda" else None,
                bucket_cap_mb=manifest.parallel.bucket_mb,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )
        #: Data parallelism averages gradients over ranks; the loss is a sum, so it is scaled up by as much.
        self.scale = float(world.size)
        self.ranks = world.size

    def loss(self, tokens: Tensor, targets: Tensor, meta: SeqMeta) -> tuple[Tensor, Tensor]:
        """Sum of nats over this rank's valid targets, fp32, and the same per row without gradient."""
        whole: nn.Module = self._replicas if self._replicas is not None else self.model
        total, rows = whole(tokens, targets, meta)
        return total, rows

    @contextlib.contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        """Around one micro-batch: gradients are exchanged after the last one only."""
        if self._replicas is None or last:
            yield
        else:
            with self._replicas.no_sync():
                yield


def named_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters under the model's own names, whatever the layout has wrapped around its blocks."""
    return [(name.replace("_checkpoint_wrapped_module.", ""), value) for name, value in model.named_parameters()]


def accumulation(manifest: Manifest, ranks: int, *, inferred: bool = False) -> int:
    """Micro-batches per step on each rank. Raises UsageError when the batch does not share out evenly.

    `inferred` says that nobody wrote `training.micro_batch`: it is then the whole batch of one process, and is shared
    out over the ranks that there are.
    """
    training = manifest.training
    micro = max(1, training.batch // ranks) if inferred else training.micro_batch
    if training.batch % (micro * ranks):
        raise UsageError(
            f"training.batch={training.batch} is not a multiple of {ranks} ranks x training.micro_batch={micro}",
            why="every rank must do the same number of whole micro-batches in a step",
            fix="choose a batch that is such a multiple",
            example=f"--set training.batch={micro * ranks} --set training.micro_batch={micro}",
        )
    return training.batch // (micro * ranks)


def check_ranks(manifest: Manifest, ranks: int) -> None:
    """Raise UsageError if the manifest wants another number of data-parallel ranks than were launched."""
    wanted = manifest.parallel.data
    if wanted not in ("auto", ranks):
        raise UsageError(
            f"parallel.data is {wanted}, and {ranks} ranks were launched",
            why="a run meant for another number of devices would not fit its plan",
            fix="launch as many processes, or set parallel.data to auto",
            example=f"torchrun --nproc-per-node {wanted} trainer.py",
        )


def _recompute(model: LanguageModel, level: str) -> None:
    if level == "none":
        return
    for index, block in enumerate(model.blocks):
        if level == "full":
            model.blocks[index] = checkpoint_wrapper(block, preserve_rng_state=False)
        else:
            model.blocks[index] = checkpoint_wrapper(block, preserve_rng_state=False, context_fn=_selective)


def _selective() -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    """Keep attention and every second matrix product; recompute the rest."""
    seen = {"forward": 0, "recompute": 0}

    def policy(context: object, op: object, *arguments: object, **options: object) -> CheckpointPolicy:
        if op in _KEPT:
            return CheckpointPolicy.MUST_SAVE
        if op in _MATMULS:
            mode = "recompute" if getattr(context, "is_recompute", False) else "forward"
            seen[mode] += 1
            return CheckpointPolicy.MUST_SAVE if seen[mode] % 2 else CheckpointPolicy.PREFER_RECOMPUTE
        return CheckpointPolicy.PREFER_RECOMPUTE

    forward, recompute = create_selective_checkpoint_contexts(policy)
    return forward, recompute
