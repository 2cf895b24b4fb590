"""Token embedding: one learned vector per token id."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra.layers.initial import Distribution, TruncatedNormal


class Embedding(nn.Module):
    """Rows of a table [vocabulary, width], looked up by token id.

    The rows are cast to the compute type after the lookup, so only the rows in use are converted. First values
    N(0, std^2) within 3 std.
    """

    def __init__(self, vocabulary: int, width: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        self.std = std

    def distributions(self) -> dict[str, Distribution]:
        """First values of the table."""
        return {"weight": TruncatedNormal(self.std)}

    def forward(self, tokens: Tensor, dtype: torch.dtype) -> Tensor:
        """tokens int64 [...] -> [..., width] in `dtype`."""
        return functional.embedding(tokens, self.weight).to(dtype)
