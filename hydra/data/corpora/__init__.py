"""Corpora: where documents come from, each kind one file with a generator of `Document`.

They exist apart from tokenizing and packing so that a new source of text is one file here and one registration.
"""

from __future__ import annotations

from hydra.data.corpora.opening import open_text
from hydra.data.corpora.text_corpus import TextCorpus

__all__ = ["TextCorpus", "open_text"]
