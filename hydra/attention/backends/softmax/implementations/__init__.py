"""The implementations of the attention core, fastest first, and the choice among them.

Each takes projected queries, keys and values of a batch; they differ in speed and in what they can mask.
"""

from __future__ import annotations

from hydra.attention.backends.softmax.implementations.choice import choose
from hydra.attention.backends.softmax.implementations.core import Core

__all__ = ["Core", "choose"]
