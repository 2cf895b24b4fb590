"""Norm layers: the modules that hold the learned scale of `rms_norm` and `layer_norm`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hydra.kernels.layer_norm import layer_norm
from hydra.kernels.rms_norm import rms_norm
from hydra.kernels.uses import Use
from hydra.layers.config import NormConfig
from hydra.layers.initial import Constant, Distribution

_OPS: dict[str, Callable[[Tensor, Tensor | None, float], Tensor]] = {"rms_norm": rms_norm, "layer_norm": layer_norm}


class Norm(nn.Module):
    """Normalisation of the last axis, with or without a learned scale [width] that starts at 1.

    Statistics are fp32 whatever the activations are; the result has the type of x.
    """

    def __init__(self, config: NormConfig, width: int) -> None:
        super().__init__()
        self.kind, self.width, self.epsilon = config.kind, width, config.epsilon
        self.weight = nn.Parameter(torch.empty(width)) if config.weight else None

    def distributions(self) -> dict[str, Distribution]:
        """First values of the scale."""
        return {} if self.weight is None else {"weight": Constant(1.0)}

    def uses(self) -> tuple[Use, ...]:
        """The op behind this layer."""
        return (Use(self.kind, f"width {self.width}, {'scaled' if self.weight is not None else 'bare'}"),)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., width] -> the same shape and type."""
        return _OPS[self.kind](x, self.weight, self.epsilon)
