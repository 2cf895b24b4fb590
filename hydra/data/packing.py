"""Packing: which pieces of which documents make up a row.

A row has T+1 tokens: T inputs and, one to the right, T targets. Neighbouring rows of one document share one token,
which is the last target of the first row and the first input of the second; so every token of a document but its
first is a target exactly once, under every packing, and none is lost.

    concat    documents end to end, cut every T tokens; only the last row is padded
    bestfit   documents of up to T+1 tokens are never cut; rows are filled by best fit (arXiv:2404.10830)
    pad       one document, or one stretch of a longer one, per row
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from hydra.data.arrays import Int64, expand, first_of_each
from hydra.data.bestfit import fill

Kind = Literal["concat", "bestfit", "pad"]


@dataclass(frozen=True)
class Pieces:
    """Stretches of documents in the order they stand in rows; all [pieces].

    `row` counts within the rows that were asked for, ascending. `document` counts within a source, `start` and
    `length` are in tokens of the document.
    """

    row: Int64
    document: Int64
    start: Int64
    length: Int64


class Packing(Protocol):
    """Rows of one source: O(documents) to make, O(log documents) per row to read."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    def pieces(self, rows: Int64) -> Pieces:
        """The pieces of some rows, in any order, repeated ones included."""

    def counts(self, rows: Int64) -> tuple[Int64, Int64]:
        """Tokens (padding excluded) and pieces of some rows, each [rows], without reading a token."""


def pack(kind: Kind, documents: Int64, lengths: Int64, sequence: int) -> Packing:
    """The rows of some documents in the order given; `lengths` are their tokens, `sequence` is T."""
    if kind == "concat":
        return _Stream(documents, lengths, sequence)
    owner, stretch = expand(-(-(lengths - 1) // sequence))
    start = stretch * sequence
    length = np.minimum(lengths[owner] - start, sequence + 1)
    row = fill(length, sequence + 1) if kind == "bestfit" else np.arange(length.size, dtype=np.int64)
    order = np.argsort(row, kind="stable")
    return _Table(Pieces(row[order], documents[owner[order]], start[order], length[order]))


class _Stream:
    """`concat`: rows are windows on the stream of all documents, found by binary search."""

    def __init__(self, documents: Int64, lengths: Int64, sequence: int) -> None:
        self._documents, self._lengths, self._sequence = documents, lengths, sequence
        self._ends: Int64 = np.cumsum(lengths)

    @property
    def rows(self) -> int:
        return max(0, -(-(self._tokens - 1) // self._sequence))

    @property
    def _tokens(self) -> int:
        return int(self._ends[-1]) if self._ends.size else 0

    def _window(self, rows: Int64) -> tuple[Int64, Int64, Int64, Int64]:
        """Where rows begin and end in the stream, their first document and their number of pieces."""
        begin = rows * self._sequence
        end = np.minimum(begin + self._sequence + 1, self._tokens)
        first = np.searchsorted(self._ends, begin, side="right")
        last = np.searchsorted(self._ends, end - 1, side="right")
        return begin, end, first, last - first + 1

    def pieces(self, rows: Int64) -> Pieces:
        begin, end, first, count = self._window(rows)
        row, inner = expand(count)
        place = first[row] + inner
        stream_start = self._ends[place] - self._lengths[place]
        start = np.maximum(begin[row] - stream_start, 0)
        stop = np.minimum(end[row], self._ends[place]) - stream_start
        return Pieces(row, self._documents[place], start, stop - start)

    def counts(self, rows: Int64) -> tuple[Int64, Int64]:
        begin, end, _, count = self._window(rows)
        return end - begin, count


class _Table:
    """`bestfit` and `pad`: the pieces of each row are written down once."""

    def __init__(self, pieces: Pieces) -> None:
        """`pieces` of all rows, by row."""
        self._all = pieces
        self._count = np.bincount(pieces.row).astype(np.int64)
        self._first = first_of_each(self._count)
        self._tokens = np.bincount(pieces.row, weights=pieces.length).astype(np.int64)

    @property
    def rows(self) -> int:
        return self._count.size

    def pieces(self, rows: Int64) -> Pieces:
        row, inner = expand(self._count[rows])
        place = self._first[rows][row] + inner
        return Pieces(row, self._all.document[place], self._all.start[place], self._all.length[place])

    def counts(self, rows: Int64) -> tuple[Int64, Int64]:
        return self._tokens[rows], self._count[rows]
