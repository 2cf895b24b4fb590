"""What a parameter's first values are: the distribution each module declares for its own parameters.

A module owns the description; one pass over the model draws the numbers (`hydra.model`). So no model-wide rule can
silently overwrite a special initialisation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TruncatedNormal:
    """N(0, std^2) conditioned on |x| <= 3 std; its standard deviation is 0.9866 std."""

    std: float


@dataclass(frozen=True)
class Constant:
    """Every element equal, such as 1 for the scales of a norm."""

    value: float


Distribution = TruncatedNormal | Constant
