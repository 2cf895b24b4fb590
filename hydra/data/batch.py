"""Packed rows, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydra.data.arrays import Bools, Int32, Int64, expand, first_of_each
from hydra.data.packing import Pieces
from hydra.data.store import TokenStore

Rows = tuple[Int32, Int32, Int32]


@dataclass(frozen=True)
class Batch:
    """n rows of T+1 tokens: the model reads the first T and predicts the last T.

    `tokens`, `positions` and `documents` are [n, T+1]. Positions count from 0 at the start of a document, or of the
    row where it continues one. Documents are numbered from 0 inside a row, -1 is padding, always on the right. With
    document masks off, a row is one document. `sources` [n] number the manifest's sources; `samples` [n] are global
    sample indices, or row numbers of the held-out split.
    """

    tokens: Int32
    positions: Int32
    documents: Int32
    sources: Int32
    samples: Int64

    @property
    def valid(self) -> Bools:
        """[n, T]: True where the token to the right is a target, being of the same document and no padding."""
        here, right = self.documents[:, :-1], self.documents[:, 1:]
        valid: Bools = np.logical_and(here == right, right >= 0)
        return valid

    def target_bytes(self, token_bytes: Int32) -> Int64:
        """[n]: UTF-8 bytes that the targets of each row stand for, the denominator of bits per byte."""
        total: Int64 = np.sum(token_bytes[self.tokens[:, 1:]], axis=1, where=self.valid, dtype=np.int64)
        return total


def assemble(store: TokenStore, pieces: Pieces, rows: int, sequence: int, end: int, masks: bool) -> Rows:
    """Tokens, positions and documents of some rows of one source, each [rows, T+1]; padding holds the id `end`."""
    width = sequence + 1
    tokens = np.full((rows, width), end, dtype=np.int32)
    positions = np.zeros((rows, width), dtype=np.int32)
    documents = np.full((rows, width), -1, dtype=np.int32)
    per_row = np.bincount(pieces.row, minlength=rows)
    ordinal = np.arange(pieces.row.size) - first_of_each(per_row)[pieces.row]
    used = np.bincount(pieces.row, weights=pieces.length, minlength=rows).astype(np.int64)
    column = first_of_each(pieces.length) - first_of_each(used)[pieces.row]
    owner, inner = expand(pieces.length)
    place = pieces.row[owner] * width + column[owner] + inner
    tokens.reshape(-1)[place] = store.gather(pieces.document, pieces.start, pieces.length)
    positions.reshape(-1)[place] = inner if masks else column[owner] + inner
    documents.reshape(-1)[place] = ordinal[owner] if masks else 0
    return tokens, positions, documents
