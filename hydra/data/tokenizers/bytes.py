"""UTF-8 bytes as ids: nothing to train, nothing lost, every text possible."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from hydra.data.arrays import Bools, Int32
from hydra.data.document import Document
from hydra.data.tokenizers.tokenizer import Tokenizer


class ByteTokenizer(Tokenizer):
    """Ids 0 to 255 are the bytes; id 256 ends a document."""

    def __init__(self) -> None:
        super().__init__(size=257, end_of_document=256, digest=hashlib.sha256(b"hydra bytes 1").hexdigest())

    def encode_documents(self, documents: Sequence[Document]) -> list[Int32]:
        """One id per byte of each text's UTF-8 form."""
        return [np.frombuffer(document.encoded(), dtype=np.uint8).astype(np.int32) for document in documents]

    def _decode(self, ids: Int32) -> str:
        return ids.astype(np.uint8).tobytes().decode("utf-8", errors="replace")

    def _token_bytes(self) -> Int32:
        return (~self._special).astype(np.int32)

    @property
    def _special(self) -> Bools:
        special = np.zeros(257, dtype=np.bool_)
        special[256] = True
        return special

    def _definition(self) -> dict[str, object]:
        return {"kind": "bytes"}
