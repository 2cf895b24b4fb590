"""The contract of a sequence mixer: what moves information along time in a block.

Every backend has the same outer shape, so architectures compose by naming kinds. Full sequence, any chunking and step
by step give the same result, with and without several documents in a row; `tests/hydra/attention` holds every backend
to that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hydra.attention.meta import SeqMeta
from hydra.kernels import Choice, Facts
from hydra.kernels.uses import Use
from hydra.manifest.section import Kind

#: Decoding state of one mixer: a tuple of tensors (a pytree), among them `lens` and `doc`, int32 [B].
MixerState = Any


@dataclass(frozen=True)
class MixerSpec:
    """Everything the building of one mixer depends on."""

    config: Kind
    width: int  # channels of the residual stream
    context: int  # longest sequence in tokens
    vocabulary: int
    std: float  # initial scale of weights
    output_std: float  # initial scale of the projection back into the residual stream
    facts: Facts
    pins: Mapping[str, str]  # op -> implementation named by the manifest


class AttentionBackend(nn.Module, ABC):
    """One kind of mixer: `forward(x, meta)` for training, `prefill` and `decode` with an explicit state.

    Subclasses choose the implementation of their core op once, in the constructor, and keep it as `choice`. A chosen
    implementation that fails raises; nothing is caught and replaced.
    """

    choice: Choice

    @property
    def implementation(self) -> str:
        """Name of the implementation that runs the core op of `forward`."""
        return self.choice.implementation

    @abstractmethod
    def derivations(self) -> Mapping[str, Callable[[SeqMeta], Any]]:
        """What this mixer derives from a batch (tables, masks), by key; equal keys are shared between layers."""

    @abstractmethod
    def forward(self, x: Tensor, meta: SeqMeta) -> Tensor:
        """x [B, T, D], already normalised -> [B, T, D]; training and scoring, no state."""

    @abstractmethod
    def init_state(self, batch: int, max_length: int, device: torch.device, dtype: torch.dtype) -> MixerState:
        """An empty state for rows of at most `max_length` tokens."""

    @abstractmethod
    def prefill(self, x: Tensor, meta: SeqMeta, state: MixerState) -> tuple[Tensor, MixerState]:
        """Continue a state of any length by T >= 1 tokens. The given state is consumed."""

    @abstractmethod
    def decode(self, x: Tensor, meta: SeqMeta, state: MixerState) -> tuple[Tensor, MixerState]:
        """One more token per row, T = 1; static shapes, no host synchronisation. The given state is consumed."""

    @abstractmethod
    def uses(self) -> tuple[Use, ...]:
        """The ops this mixer runs, for the report."""
