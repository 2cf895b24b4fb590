"""The order of training rows: a pure function of (seed, global sample index).

    b, k   = divmod(g, 4096)              block of the mix; q_j places of 4096 for source j, by largest remainder
    j, n   = shuffle(seed, b)[k]          source j; n = b*q_j + rank of k among j's places in the block
    e, m   = divmod(n, rows(j))           epoch and place in it
    row    = permute(seed, j, e)[m]       Feistel permutation: O(1), no table, any index at once

So a resume needs one integer, the number of ranks may change between attempts, and the rows of any step can be
printed without a run. Every row of a source occurs once in each of its epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from hydra.data.arrays import Int32, Int64
from hydra.data.scramble import hashes, key_of, permute, shuffled
from hydra.errors import DataError

BLOCK = 4096


def quotas(names: Sequence[str], weights: Sequence[float]) -> tuple[int, ...]:
    """Places per block of 4096 for each source: its share rounded by largest remainder, ties to the first.

    Raises DataError for a source whose share is too small for a single place: it would never be read.
    """
    shares = np.array(weights, dtype=np.float64) / float(sum(weights)) * BLOCK
    places = np.floor(shares).astype(np.int64)
    leftover = BLOCK - int(places.sum())
    places[np.argsort(places - shares, kind="stable")[:leftover]] += 1
    for name, count, share in zip(names, places, shares, strict=True):
        if not count:
            raise DataError(
                f"source '{name}' has a share of {share / BLOCK:.2e} of the rows",
                why=f"shares are rounded to 1/{BLOCK}, and this one rounds to nothing: it would never be read",
                fix="raise its weight or remove the source",
                example="sources: [{name: web, weight: 0.99, ...}, {name: code, weight: 0.01, ...}]",
            )
    return tuple(int(count) for count in places)


class Order:
    """Where any training sample comes from; holds no position."""

    def __init__(self, seed: int, quota: Sequence[int], rows: Sequence[int]) -> None:
        """`quota` places per block and `rows` per epoch of each source."""
        self._mix_key = key_of("order: mix", seed)
        self._row_keys = [key_of("order: rows", seed, source) for source in range(len(rows))]
        self._quota = np.array(quota, dtype=np.int64)
        self._rows = tuple(rows)
        self._shuffle = lru_cache(maxsize=64)(self._block)

    def locate(self, samples: Int64) -> tuple[Int32, Int64, Int64]:
        """Source, row and epoch of some global sample indices, each [samples]."""
        source, occurrence = self._mix(samples)
        row, epoch = np.empty_like(samples), np.empty_like(samples)
        for number, (size, key) in enumerate(zip(self._rows, self._row_keys, strict=True)):
            chosen = np.flatnonzero(source == number)
            epoch[chosen], place = np.divmod(occurrence[chosen], size)
            row[chosen] = permute(place, size, hashes(key, epoch[chosen]))
        return source, row, epoch

    def _mix(self, samples: Int64) -> tuple[Int32, Int64]:
        """Source of each sample, and how many samples of that source come before it."""
        blocks, places = np.divmod(samples, BLOCK)
        source, occurrence = np.empty(samples.size, dtype=np.int32), np.empty_like(samples)
        for block in np.unique(blocks).tolist():
            chosen = np.flatnonzero(blocks == block)
            source_of, rank_of = self._shuffle(block)
            source[chosen] = source_of[places[chosen]]
            occurrence[chosen] = block * self._quota[source[chosen]] + rank_of[places[chosen]]
        return source, occurrence

    def _block(self, block: int) -> tuple[Int32, Int64]:
        """Source of each place in a block, and its rank among that source's places."""
        key = int(hashes(self._mix_key, np.array([block], dtype=np.int64))[0])
        source = np.repeat(np.arange(self._quota.size, dtype=np.int32), self._quota)[shuffled(key, BLOCK)]
        rank = np.empty(BLOCK, dtype=np.int64)
        for number, count in enumerate(self._quota.tolist()):
            rank[source == number] = np.arange(count)
        return source, rank
