"""What every implementation of the attention core is: a call, and what it derives from a batch beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor

from hydra.attention.meta import SeqMeta

Derivations = Mapping[str, Callable[[SeqMeta], Any]]


class Core(Protocol):
    """Attention of a batch to itself: q [B, T, Hq, d], k and v [B, T, Hk, d] -> [B, T, Hq, d]."""

    def derivations(self) -> Derivations:
        """Masks this implementation needs, by a key that names what they depend on."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, meta: SeqMeta) -> Tensor:
        """Attend. Rows of padding give 0 where the batch is masked."""
