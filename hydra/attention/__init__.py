"""Sequence mixers that attend, under one contract: `contract.py`, `meta.py` and one folder per backend.

It exists so that a new kind of attention is one folder, proved by the same tests as all others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.attention.contract import AttentionBackend, MixerSpec, MixerState
    from hydra.attention.meta import SeqMeta
    from hydra.attention.registry import backend

_HOMES = {
    "AttentionBackend": "contract",
    "MixerSpec": "contract",
    "MixerState": "contract",
    "SeqMeta": "meta",
    "backend": "registry",
}


def __getattr__(name: str) -> object:
    """The public names, loaded when first used: reading a manifest must not pull in torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = ["AttentionBackend", "MixerSpec", "MixerState", "SeqMeta", "backend"]
