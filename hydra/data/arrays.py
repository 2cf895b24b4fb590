"""Names for the array types of this room, and the one gather pattern that everything here is built from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
#: Token ids as they are stored: u16 where the vocabulary allows it, u32 otherwise.
Stored = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


def first_of_each(lengths: Int64) -> Int64:
    """Where each of several stretches begins when they are laid end to end: the exclusive running sum."""
    firsts = np.cumsum(lengths)
    firsts -= lengths
    return firsts


def expand(lengths: Int64) -> tuple[Int64, Int64]:
    """Stretches written out element by element: which stretch each element belongs to, and its place inside it.

    `expand([2, 3])` is `([0, 0, 1, 1, 1], [0, 1, 0, 1, 2])`. It replaces a Python loop over stretches.
    """
    owner = np.repeat(np.arange(lengths.size, dtype=np.int64), lengths)
    inner = np.arange(owner.size, dtype=np.int64) - first_of_each(lengths)[owner]
    return owner, inner
