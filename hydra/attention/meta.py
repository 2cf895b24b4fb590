"""What a mixer must know about its tokens besides their vectors: positions, documents and ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class SeqMeta:
    """Positions and documents of the tokens of a batch, the same for every backend.

    A document start means: carried state is zero, and no tap, window or key reaches back past it. Nothing here is
    ever read back to the host; `masked` and `max_document` are plain Python values and static.
    """

    positions: Tensor  # int32 [B, T], position inside the document, 0 at its start
    documents: Tensor  # int32 [B, T], unique and non-decreasing in a row; -1 is padding, on the right only
    tokens: Tensor  # int64 [B, T], ids, for mixers that look values up
    #: False: every row is one document and attention is plainly causal; `documents` is then not looked at.
    masked: bool
    #: Upper bound on the length of a document, in tokens.
    max_document: int
    #: What mixers derived from this batch, by key; computed once and shared by all layers (see `prepared`).
    derived: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def causal(cls, tokens: Tensor, start: Tensor | int = 0) -> SeqMeta:
        """Rows of one document each; `start` (int or int32 [B]) is the position of the first token."""
        length = tokens.shape[1]
        steps = torch.arange(length, dtype=torch.int32, device=tokens.device)
        first = torch.as_tensor(start, dtype=torch.int32, device=tokens.device).reshape(-1, 1)
        positions = (first + steps).expand(tokens.shape[0], length)
        return cls(positions, torch.zeros_like(positions), tokens, masked=False, max_document=length)

    @classmethod
    def packed(cls, tokens: Tensor, documents: Tensor) -> SeqMeta:
        """Rows of several documents, positions counted from each document's first token; -1 marks padding."""
        steps = torch.arange(tokens.shape[1], dtype=torch.int32, device=tokens.device).expand_as(documents)
        first = torch.ones_like(documents, dtype=torch.bool)
        first[:, 1:] = documents[:, 1:] != documents[:, :-1]
        origin = torch.where(first, steps, 0).cummax(dim=1).values
        return cls(steps - origin, documents, tokens, masked=True, max_document=tokens.shape[1])

    def prepared(self, derivations: Mapping[str, Callable[[SeqMeta], Any]]) -> SeqMeta:
        """This batch with everything derived that its layers will ask for, each key once."""
        return replace(self, derived={key: make(self) for key, make in derivations.items()})

    def get(self, key: str, make: Callable[[SeqMeta], Any]) -> Any:
        """What was prepared under `key`, or computed now when a layer is called on its own."""
        return self.derived[key] if key in self.derived else make(self)
