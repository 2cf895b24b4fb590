"""Using a model: sampling, text generation with stops and a cache, and held-out scoring in bits per byte.

The training loop and the command lines both call this room, so a sample or a score means the same in either place.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.inference.decoding import LanguageModel, Tokenizer
    from hydra.inference.generation import generate
    from hydra.inference.record import Generation
    from hydra.inference.repetition import repetitive
    from hydra.inference.sampling import Draw, NonFiniteLogits, Sampling, sample
    from hydra.inference.scoring import HeldOut, measure, score, torch_rows
    from hydra.inference.sums import Score, Sums

# Loaded on first use: command lines import this package to show their help, and torch takes seconds to import.
_EXPORTS = {
    "Draw": "sampling",
    "Generation": "record",
    "HeldOut": "scoring",
    "LanguageModel": "decoding",
    "NonFiniteLogits": "sampling",
    "Sampling": "sampling",
    "Score": "sums",
    "Sums": "sums",
    "Tokenizer": "decoding",
    "generate": "generation",
    "measure": "scoring",
    "repetitive": "repetition",
    "sample": "sampling",
    "score": "scoring",
    "torch_rows": "scoring",
}

__all__ = [
    "Draw",
    "Generation",
    "HeldOut",
    "LanguageModel",
    "NonFiniteLogits",
    "Sampling",
    "Score",
    "Sums",
    "Tokenizer",
    "generate",
    "measure",
    "repetitive",
    "sample",
    "score",
    "torch_rows",
]


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"hydra.inference.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'hydra.inference' has no attribute '{name}'")
