"""A running digest of what a run was trained on.

Two arms with the same seed must see the same samples and tokens in the same order. Storing them would double the data,
so each step is folded into one SHA-256, and the digests are compared.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

#: Steps between digests that are written to the events.
EVERY = 100
_START = "hydra stream 1"
#: Contiguous memory of any shape, such as a NumPy array's `data`; its integer type must be the same in all runs.
Memory: TypeAlias = bytes | bytearray | memoryview


class StreamDigest:
    """Folds step after step into one digest; its state is the digest itself, so a checkpoint can hold it.

    Each step's digest is SHA-256 of the one before, the step, and the bytes of the step's sample indices and tokens,
    each with its length. With several ranks, rank 0 folds in what it reads itself: data order is a function of the
    global sample index and all arms have the same layout, so equal digests there mean equal data everywhere.
    """

    def __init__(self, state: str | None = None) -> None:
        self._state = bytes.fromhex(state) if state is not None else hashlib.sha256(_START.encode()).digest()

    def update(self, step: int, samples: Memory, tokens: Memory) -> None:
        """Fold in one optimizer step: its global sample indices and the tokens of its rows, as memory."""
        digest = hashlib.sha256(self._state)
        digest.update(step.to_bytes(8, "little"))
        for part in (samples, tokens):
            view = memoryview(part).cast("B")
            digest.update(view.nbytes.to_bytes(8, "little"))
            digest.update(view)
        self._state = digest.digest()

    @property
    def state(self) -> str:
        """The digest so far, in hex; give it to a new `StreamDigest` to go on."""
        return self._state.hex()
