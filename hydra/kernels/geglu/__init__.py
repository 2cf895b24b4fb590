"""GeGLU gate: `gelu(gate) * up`.

Like SwiGLU with the exact GELU as the gate (arXiv:2002.05202).
"""

from __future__ import annotations

from hydra.kernels.geglu.reference import geglu

__all__ = ["geglu"]
