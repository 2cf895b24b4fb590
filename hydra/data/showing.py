"""The exact rows of any optimizer step, without a run: for `hydra data show --step N`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydra.data.dataset import Dataset


@dataclass(frozen=True)
class ShownPiece:
    """A stretch of one document inside a row: `document` counts within its source, `start` is in its tokens."""

    document: int
    start: int
    ids: list[int]
    text: str


@dataclass(frozen=True)
class ShownRow:
    """One row of a step: where it comes from and what it says. `epoch` counts passes over its source from 0."""

    sample: int
    source: str
    row: int
    epoch: int
    targets: int
    pieces: list[ShownPiece]


def show(dataset: Dataset, step: int, batch: int) -> list[ShownRow]:
    """The `batch` rows that optimizer step `step` (counted from 0) trains on, over all ranks, in sample order."""
    samples = np.arange(step * batch, (step + 1) * batch, dtype=np.int64)
    sources, rows, epochs = dataset.order.locate(samples)
    read = dataset.rows(samples)
    targets = read.valid.sum(axis=1)
    shown = []
    for index, (number, row) in enumerate(zip(sources.tolist(), rows.tolist(), strict=True)):
        source = dataset.sources[number]
        pieces, column = [], 0
        found = source.training.pieces(np.array([row], dtype=np.int64))
        for document, start, length in zip(
            found.document.tolist(), found.start.tolist(), found.length.tolist(), strict=True
        ):
            ids = read.tokens[index, column : column + length].tolist()
            pieces.append(ShownPiece(document, start, ids, dataset.tokenizer.decode(ids)))
            column += length
        shown.append(ShownRow(int(samples[index]), source.name, row, int(epochs[index]), int(targets[index]), pieces))
    return shown
