"""Lowering: from the file a person writes to one explicit tree per run.

It exists so that the rest of Hydra sees only explicit settings: no variables, presets, repeats, arms or shorthands.
"""

from __future__ import annotations

from hydra.manifest.lowering.arms import Lowered
from hydra.manifest.lowering.stages import lower

__all__ = ["Lowered", "lower"]
