"""Checkpoints: safetensors and JSON, written by a process of their own, complete or absent, verified before use.

They exist so that a run can be killed at any byte and lose only the steps since its last save. Loaded on first use: the
writer process runs from this package and needs neither torch nor any other package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.training.checkpoint.complete import Complete
    from hydra.training.checkpoint.reading import Checkpoints
    from hydra.training.checkpoint.results import Saved, SaveFailure
    from hydra.training.checkpoint.store import CheckpointStore
    from hydra.training.checkpoint.verification import Verification

_EXPORTS = {
    "CheckpointStore": "store",
    "Checkpoints": "reading",
    "Complete": "complete",
    "SaveFailure": "results",
    "Saved": "results",
    "Verification": "verification",
}

__all__ = ["CheckpointStore", "Checkpoints", "Complete", "SaveFailure", "Saved", "Verification"]


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"hydra.training.checkpoint.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'hydra.training.checkpoint' has no attribute '{name}'")
