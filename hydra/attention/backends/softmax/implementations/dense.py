"""The dense reference as an implementation: all logits at once, any device, any floating type."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hydra.attention.backends.softmax.implementations.core import Derivations
from hydra.attention.backends.softmax.reference import attention, visible
from hydra.attention.meta import SeqMeta


@dataclass(frozen=True)
class Dense:
    """`reference.attention` over a dense mask; the ground truth, and slow."""

    scale: float
    window: int | None

    @property
    def _key(self) -> str:
        return f"visible/window={self.window}"

    def derivations(self) -> Derivations:
        """The dense mask, shared by all layers with the same window."""
        return {self._key: lambda meta: visible(meta, self.window)}

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, meta: SeqMeta) -> Tensor:
        """Attend by the definition."""
        mask = meta.get(self._key, lambda batch: visible(batch, self.window))
        return attention(q, k, v, mask, self.scale)
