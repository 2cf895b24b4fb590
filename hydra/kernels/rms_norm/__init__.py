"""Root mean square norm (arXiv:1910.07467).

It scales a vector to unit root mean square, which keeps activations in range at every depth.
"""

from __future__ import annotations

from hydra.kernels.rms_norm.reference import rms_norm

__all__ = ["rms_norm"]
