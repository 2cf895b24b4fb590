"""Layer norm (arXiv:1607.06450), without bias.

It centres and scales a vector; kept beside `rms_norm` for models that were designed with it.
"""

from __future__ import annotations

from hydra.kernels.layer_norm.reference import layer_norm

__all__ = ["layer_norm"]
