"""Rotary position embedding (arXiv:2104.09864).

It writes positions into queries and keys so that attention sees distances; `angles` makes the tables once per batch.
"""

from __future__ import annotations

from hydra.kernels.rope.reference import angles, rope

__all__ = ["angles", "rope"]
