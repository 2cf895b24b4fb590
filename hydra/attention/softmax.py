"""Softmax attention, by its public name: `from hydra.attention.softmax import SoftmaxAttention`."""

from __future__ import annotations

from hydra.attention.backends.softmax.module import SoftmaxAttention

__all__ = ["SoftmaxAttention"]
