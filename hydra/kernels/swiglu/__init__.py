"""SwiGLU gate: `silu(gate) * up`.

One half of a feed-forward network decides how much of the other half passes (arXiv:2002.05202).
"""

from __future__ import annotations

from hydra.kernels.swiglu.reference import swiglu

__all__ = ["swiglu"]
