"""Squared ReLU: `max(x, 0)^2`.

A cheap activation that leaves most hidden units at zero (arXiv:2109.08668).
"""

from __future__ import annotations

from hydra.kernels.relu_squared.reference import relu_squared

__all__ = ["relu_squared"]
