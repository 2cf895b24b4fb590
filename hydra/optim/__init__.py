"""Optimizers, learning-rate schedules and gradient clipping, all driven by scalars on the device.

One place decides what happens to a gradient, so the training step holds no arithmetic. Loaded on first use: the
manifest imports `hydra.optim.config`, and reading a manifest must not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.optim.clipping import clip
    from hydra.optim.optimizers import Optimizers, build
    from hydra.optim.schedules import factor
    from hydra.optim.table import Row

_EXPORTS = {
    "Optimizers": "optimizers",
    "Row": "table",
    "build": "optimizers",
    "clip": "clipping",
    "factor": "schedules",
}

__all__ = ["Optimizers", "Row", "build", "clip", "factor"]


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"hydra.optim.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'hydra.optim' has no attribute '{name}'")
