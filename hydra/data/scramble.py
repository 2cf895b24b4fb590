"""Counter-based pseudo-randomness: any element of a shuffle or permutation, computed alone, the same for ever.

The order of training data must be a pure function of (seed, index). Generators with a state cannot give that: they
must be run up to the index, and numpy does not promise the same stream in its next release. Here every value is a
hash of its own index. Arithmetic is modulo 2^64, which numpy arrays do without a warning.
"""

from __future__ import annotations

import hashlib

import numpy as np

from hydra.data.arrays import Int64, UInt64

_ROUNDS = 6


def key_of(*parts: object) -> int:
    """A 64-bit key from anything printable: separate streams for separate purposes."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:8], "big")


def mix(values: UInt64) -> UInt64:
    """The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection that scrambles all bits."""
    state = values + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def hashes(key: int, indices: Int64) -> UInt64:
    """One 64-bit hash per index, under a key."""
    return mix(mix(indices.astype(np.uint64)) ^ np.uint64(key))


def shuffled(key: int, size: int) -> Int64:
    """A pseudo-random order of `0 .. size-1`: the indices sorted by their hash, ties by index."""
    return np.argsort(hashes(key, np.arange(size, dtype=np.int64)), kind="stable").astype(np.int64)


def permute(indices: Int64, size: int, keys: UInt64) -> Int64:
    """Element by element, the image of `indices` under a bijection of `0 .. size-1` chosen by `keys`.

    A balanced Feistel network over the next power of four (Luby and Rackoff, 1988), walked along its cycle until it
    lands inside the range (Black and Rogaway, 2002): no table, O(1) for any index, at most four walks on average.
    Needs 0 <= indices < size.
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    rounds = [mix(keys + np.uint64(number)) for number in range(_ROUNDS)]
    values = _feistel(indices.astype(np.uint64), half, rounds)
    outside = np.flatnonzero(values >= np.uint64(size))
    while outside.size:
        values[outside] = _feistel(values[outside], half, [keys[outside] for keys in rounds])
        outside = outside[values[outside] >= np.uint64(size)]
    return values.astype(np.int64)


def _feistel(values: UInt64, half: np.uint64, rounds: list[UInt64]) -> UInt64:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in rounds:
        left, right = right, left ^ (mix(right ^ key) & mask)
    return (left << half) | right
