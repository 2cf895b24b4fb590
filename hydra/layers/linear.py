"""Linear projection without bias, fp32 weights and products in the activation's type."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra.layers.initial import Distribution, TruncatedNormal


class Linear(nn.Module):
    """`y = x W^T`, W [outputs, inputs].

    The weight stays in fp32, so small optimizer steps are not lost, and is cast to the type of x for the product;
    nothing else in the model changes types (there is no autocast). Its first values are N(0, std^2) within 3 std;
    projections that write into the residual stream get a smaller std from their owner.
    """

    def __init__(self, inputs: int, outputs: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.std = std

    def distributions(self) -> dict[str, Distribution]:
        """First values of the weight."""
        return {"weight": TruncatedNormal(self.std)}

    def forward(self, x: Tensor) -> Tensor:
        """x [..., inputs] -> [..., outputs], in x's type."""
        return functional.linear(x, self.weight.to(x.dtype))
