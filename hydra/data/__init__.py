"""Data: corpora, tokenizers, artifacts, packing and order, from a manifest to the rows of any optimizer step.

It exists so that what a run trains on is a pure function of its manifest, refused when it is not exactly that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.data.batch import Batch
    from hydra.data.dataset import Dataset
    from hydra.data.loader import Loader, StepBatch
    from hydra.data.preparing import build_shards, prepare
    from hydra.data.showing import ShownPiece, ShownRow, show
    from hydra.data.tokenizers import Tokenizer, load_tokenizer
    from hydra.data.vocabulary import vocabulary_of

# Loaded on first use: the manifest imports `hydra.data.config`, and must pull in neither torch nor any library of ours.
_EXPORTS = {
    "Batch": "batch",
    "Dataset": "dataset",
    "Loader": "loader",
    "ShownPiece": "showing",
    "ShownRow": "showing",
    "StepBatch": "loader",
    "Tokenizer": "tokenizers",
    "build_shards": "preparing",
    "load_tokenizer": "tokenizers",
    "prepare": "preparing",
    "show": "showing",
    "vocabulary_of": "vocabulary",
}

__all__ = [
    "Batch",
    "Dataset",
    "Loader",
    "ShownPiece",
    "ShownRow",
    "StepBatch",
    "Tokenizer",
    "build_shards",
    "load_tokenizer",
    "prepare",
    "show",
    "vocabulary_of",
]


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"hydra.data.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'hydra.data' has no attribute '{name}'")
