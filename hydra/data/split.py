"""The held-out split: which documents are never trained on.

A document is held out when its content key is below a threshold. So equal documents always fall on the same side, a
document stays on its side when others come or go, and neither the seed nor the order of files matters.
"""

from __future__ import annotations

import numpy as np

from hydra.data.arrays import Bools, UInt64
from hydra.errors import DataError

_RANGE = 1 << 64


def threshold(fraction: float) -> int:
    """The content key below which a document is held out: on average `fraction` of documents are."""
    return min(int(fraction * _RANGE), _RANGE - 1)


def held_out_mask(keys: UInt64, fraction: float) -> Bools:
    """True for the documents to hold out."""
    return keys < np.uint64(threshold(fraction))


def require_both_sides(keys: list[UInt64], names: list[str], fraction: float) -> None:
    """Refuse a split that leaves nothing to evaluate on, or a source with nothing to train on.

    A fraction of 0 asks for no held-out documents, so none are missed.
    Raises DataError, which names the smallest (or largest) `data.held_out` that works, if one does.
    """
    for name, of_source in zip(names, keys, strict=True):
        if held_out_mask(of_source, fraction).all():
            _refuse(f"every document of source '{name}' is held out", of_source, fraction, below=True)
    together = np.concatenate(keys)
    if fraction and not held_out_mask(together, fraction).any():
        _refuse(f"the held-out split is empty: data.held_out={fraction}", together, fraction, below=False)


def _refuse(what: str, keys: UInt64, fraction: float, *, below: bool) -> None:
    distinct = np.unique(keys)
    edge = float(distinct[-1 if below else 0]) / _RANGE
    value = edge * 0.999 if below else min(edge * 1.001 + 1e-6, 0.999)
    works = held_out_mask(distinct, value)
    fix = "add documents: split a long file into several, or use jsonl with one document a line"
    example = "split --lines=200 --additional-suffix=.txt notes.txt notes-"
    if works.any() and not works.all():
        fix = f"set data.held_out to {'at most' if below else 'at least'} {value:.4g}, or add documents"
        example = f"--set data.held_out={value:.4g}"
    raise DataError(
        f"{what} ({keys.size:,} documents, {distinct.size:,} of them different)",
        why="documents are held out by content hash, and both training and evaluation need at least one",
        fix=fix,
        example=example,
    )
