"""Seeded token ids with a pattern a model can learn, as many as asked for; for speed measurements and tests.

A document is a series of runs. A run starts at a random id, small ids more often, and each next id is the last one
plus a stride fixed by the seed. So the loss of a model that learns falls from the logarithm of the vocabulary to about
a sixteenth of it, and one that does not learn is found out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hydra.data.arrays import Int32
from hydra.data.config import SyntheticCorpus
from hydra.data.document import Document
from hydra.data.scramble import hashes, key_of
from hydra.errors import DataError

RUN = 16
_TOKENS_AT_ONCE = 1 << 22


def synthetic_documents(config: SyntheticCorpus, size: int, end_of_document: int) -> Iterator[Document]:
    """Whole documents of `config.document` tokens each, both end-of-document ids counted, up to `config.tokens`.

    Ids are below `size` and never `end_of_document`. Raises DataError when not even two documents fit.
    """
    count = config.tokens // config.document
    if count < 2:
        raise DataError(
            f"synthetic corpus: {config.tokens:,} tokens are not two documents of {config.document:,}",
            why="training and the held-out split each need a document",
            fix="ask for more tokens or shorter documents",
            example="corpus: {kind: synthetic, tokens: 1000000, document: 1024}",
        )
    at_once = max(1, _TOKENS_AT_ONCE // config.document)
    for first in range(0, count, at_once):
        block = _ids(config, np.arange(first, min(first + at_once, count)), size, end_of_document)
        for number, ids in enumerate(block, start=first):
            yield Document(ids, f"synthetic:{number + 1}")


def _ids(config: SyntheticCorpus, documents: np.ndarray, size: int, end_of_document: int) -> Int32:
    inner, choices = config.document - 2, size - 1
    runs = -(-inner // RUN)
    key = key_of("synthetic", config.seed)
    uniform = hashes(key, documents[:, None] * runs + np.arange(runs)) / np.float64(2**64)
    starts = (uniform**3 * choices).astype(np.int64)
    stride = 1 + key % 97
    ids = (starts[:, :, None] + np.arange(RUN) * stride) % choices
    ids += ids >= end_of_document
    return ids.reshape(len(documents), runs * RUN)[:, :inner].astype(np.int32)
