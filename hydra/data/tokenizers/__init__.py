"""Tokenizers: text to ids and back, with the bytes each id stands for, identified by a digest.

They exist behind one small interface so that corpora, evaluation and sampling never ask which kind is in use.
"""

from __future__ import annotations

from hydra.data.tokenizers.saved import load_tokenizer
from hydra.data.tokenizers.tokenizer import Tokenizer

__all__ = ["Tokenizer", "load_tokenizer"]
