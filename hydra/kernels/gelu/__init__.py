"""GELU: `x Phi(x)`.

The activation of the first GPT models (arXiv:1606.08415).
"""

from __future__ import annotations

from hydra.kernels.gelu.reference import gelu

__all__ = ["gelu"]
