"""Packing against a naive reference, and its laws: nothing lost, nothing twice, nothing cut that fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra.data.bestfit import fill
from hydra.data.packing import Kind, pack

LENGTHS = st.lists(st.integers(2, 40), min_size=1, max_size=30)
SEQUENCE = st.integers(1, 24)
KINDS = st.sampled_from(["concat", "bestfit", "pad"])
Row = list[tuple[int, int, int]]


def rows_of(kind: Kind, lengths: list[int], sequence: int) -> list[Row]:
    packing = pack(kind, np.arange(len(lengths)), np.array(lengths), sequence)
    pieces = packing.pieces(np.arange(packing.rows))
    rows: list[Row] = [[] for _ in range(packing.rows)]
    for row, *piece in zip(pieces.row, pieces.document, pieces.start, pieces.length, strict=True):
        rows[row].append(tuple(map(int, piece)))
    return rows


def naive_concat(lengths: list[int], sequence: int) -> list[Row]:
    """Token by token: lay the documents out, cut a window every `sequence` tokens."""
    stream = [(document, place) for document, length in enumerate(lengths) for place in range(length)]
    rows = []
    for begin in range(0, len(stream) - 1, sequence):
        row: Row = []
        for document, place in stream[begin : begin + sequence + 1]:
            if row and row[-1][0] == document:
                row[-1] = (document, row[-1][1], row[-1][2] + 1)
            else:
                row.append((document, place, 1))
        rows.append(row)
    return rows


def naive_best_fit(lengths: list[int], capacity: int) -> list[int]:
    """The textbook: longest piece first, into the fullest row that has room. Returns the row of each piece."""
    filled: list[int] = []
    rows = [0] * len(lengths)
    for piece in sorted(range(len(lengths)), key=lambda piece: -lengths[piece]):
        roomy = [row for row, used in enumerate(filled) if used + lengths[piece] <= capacity]
        if not roomy:
            roomy = [len(filled)]
            filled.append(0)
        rows[piece] = max(roomy, key=lambda row: filled[row])
        filled[rows[piece]] += lengths[piece]
    return rows


@given(LENGTHS, SEQUENCE)
def test_concat_equals_the_naive_stream(lengths: list[int], sequence: int) -> None:
    assert rows_of("concat", lengths, sequence) == naive_concat(lengths, sequence)


@settings(max_examples=300)
@given(st.lists(st.integers(1, 30), max_size=60), st.integers(30, 50))
def test_fill_equals_textbook_best_fit_decreasing(lengths: list[int], capacity: int) -> None:
    assert fill(np.array(lengths, dtype=np.int64), capacity).tolist() == naive_best_fit(lengths, capacity)


@given(KINDS, LENGTHS, SEQUENCE)
def test_every_transition_inside_a_document_is_a_target_exactly_once(
    kind: Kind, lengths: list[int], sequence: int
) -> None:
    seen = [
        (document, start + offset)
        for row in rows_of(kind, lengths, sequence)
        for document, start, length in row
        for offset in range(length - 1)
    ]
    assert sorted(seen) == [(document, place) for document, length in enumerate(lengths) for place in range(length - 1)]


@given(KINDS, LENGTHS, SEQUENCE)
def test_rows_hold_at_most_one_more_token_than_targets(kind: Kind, lengths: list[int], sequence: int) -> None:
    rows = rows_of(kind, lengths, sequence)
    sizes = [sum(length for _, _, length in row) for row in rows]
    assert all(2 <= size <= sequence + 1 for size in sizes)
    if kind == "concat":
        assert all(size == sequence + 1 for size in sizes[:-1])


@given(LENGTHS, SEQUENCE)
def test_bestfit_cuts_no_document_that_fits_and_pad_mixes_none(lengths: list[int], sequence: int) -> None:
    whole = {
        (document, length)
        for row in rows_of("bestfit", lengths, sequence)
        for document, start, length in row
        if not start
    }
    assert {(number, length) for number, length in enumerate(lengths) if length <= sequence + 1} <= whole
    assert all(len(row) == 1 for row in rows_of("pad", lengths, sequence))


@given(KINDS, LENGTHS, SEQUENCE, st.data())
def test_any_rows_in_any_order_are_the_same_rows(
    kind: Kind, lengths: list[int], sequence: int, data: st.DataObject
) -> None:
    packing = pack(kind, np.arange(len(lengths)), np.array(lengths), sequence)
    rows = rows_of(kind, lengths, sequence)
    chosen = data.draw(st.lists(st.integers(0, packing.rows - 1), max_size=8))
    pieces = packing.pieces(np.array(chosen, dtype=np.int64))
    found = list(zip(pieces.row.tolist(), pieces.document.tolist(), pieces.start.tolist(), pieces.length.tolist(),
                     strict=True))  # fmt: skip
    assert found == [(index, *piece) for index, row in enumerate(chosen) for piece in rows[row]]
    tokens, counts = packing.counts(np.array(chosen, dtype=np.int64))
    assert tokens.tolist() == [sum(piece[2] for piece in rows[row]) for row in chosen]
    assert counts.tolist() == [len(rows[row]) for row in chosen]


@settings(max_examples=20)
@given(st.permutations(range(12)))
def test_documents_are_packed_in_the_order_given(order: list[int]) -> None:
    lengths = np.arange(2, 14)
    documents = np.array(order)
    packing = pack("concat", documents, lengths[documents], 5)
    pieces = packing.pieces(np.arange(packing.rows))
    assert list(dict.fromkeys(pieces.document.tolist())) == order


@pytest.mark.parametrize("kind", ["concat", "bestfit", "pad"])
def test_no_documents_are_no_rows(kind: Kind) -> None:
    packing = pack(kind, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 8)
    assert packing.rows == 0
    assert packing.pieces(np.empty(0, dtype=np.int64)).row.size == 0
