"""All documents of one source, across its shards, by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hydra.data.arrays import Int32, Int64, expand, first_of_each
from hydra.data.shards import Shard

Number = TypeVar("Number", bound=np.generic)


class TokenStore:
    """The shards of a source as one list of documents.

    `lengths` [documents] in tokens, both end-of-document ids counted; `keys` and `sizes` [documents] as in a shard.
    Costs a few passes over the document index to open, nothing per token.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = tuple(shards)
        counts = np.array([shard.header.documents for shard in shards], dtype=np.int64)
        self._first_document = first_of_each(counts)
        self.documents = int(counts.sum())
        self.lengths: Int64 = np.concatenate([np.diff(shard.offsets) for shard in shards])
        self._starts: Int64 = _joined([shard.offsets[:-1] for shard in shards])
        self.keys = _joined([shard.keys for shard in shards])
        self.sizes: Int64 = _joined([shard.sizes for shard in shards])

    def gather(self, documents: Int64, starts: Int64, lengths: Int64) -> Int32:
        """The tokens of pieces of documents, laid end to end: `lengths[i]` from `starts[i]` on in `documents[i]`."""
        tokens = np.empty(int(lengths.sum()), dtype=np.int32)
        shard_of = np.searchsorted(self._first_document, documents, side="right") - 1
        targets = first_of_each(lengths)
        begins = self._starts[documents] + starts
        for number in np.unique(shard_of):
            pieces = np.flatnonzero(shard_of == number)
            owner, inner = expand(lengths[pieces])
            tokens[targets[pieces][owner] + inner] = self.shards[number].tokens[begins[pieces][owner] + inner]
        return tokens


def _joined(arrays: list[npt.NDArray[Number]]) -> npt.NDArray[Number]:
    """Without a copy where there is only one, so that an index stays memory-mapped."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
