"""The table of optimizer groups that a run prints at its start, so that no parameter is treated in a hidden way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One group: the parameters that share an optimizer, a learning rate and a decay."""

    pattern: str
    """Shell patterns of the rule, with its condition on dimensions."""
    tensors: int
    parameters: int
    """Elements of these tensors."""
    optimizer: str
    lr: float
    """Peak learning rate; the schedule's factor multiplies it."""
    decay: float
    """Decoupled weight decay."""
