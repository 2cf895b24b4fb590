"""Ids as they are: a text is numbers in decimal, separated by white space."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from hydra.data.arrays import Bools, Int32
from hydra.data.document import Document
from hydra.data.tokenizers.tokenizer import Tokenizer
from hydra.errors import DataError


class IdTokenizer(Tokenizer):
    """Ids 0 to size-1, the last of which ends a document. They stand for no bytes, so there are no bits per byte."""

    def __init__(self, size: int) -> None:
        digest = hashlib.sha256(f"hydra ids 1 {size}".encode()).hexdigest()
        super().__init__(size=size, end_of_document=size - 1, digest=digest)

    def encode_documents(self, documents: Sequence[Document]) -> list[Int32]:
        """The numbers of each text. Raises DataError for what is not a number, or not below the last id."""
        return [self._parse(document) for document in documents]

    def _parse(self, document: Document) -> Int32:
        ids: list[int] = []
        for line, text in enumerate(str(document.content).splitlines()):
            for word in text.split():
                number = int(word) if word.isascii() and word.isdecimal() and len(word) < 12 else -1
                if not 0 <= number < self.end_of_document:
                    raise self._refused(document.origin, line, word, number)
                ids.append(number)
        return np.array(ids, dtype=np.int32)

    def _refused(self, origin: str, line: int, word: str, number: int) -> DataError:
        place = f"{origin}, line {line + 1} of the document" if line else origin
        fault = "is the id that ends a document" if number == self.end_of_document else "is not an id of this tokenizer"
        return DataError(
            f"{place}: {word[:40]!r} {fault}",
            why=f"tokenizer 'ids' with vocabulary {self.size} takes numbers from 0 to {self.size - 2}; "
            f"{self.end_of_document} is placed at the ends of documents by Hydra itself",
            fix="raise tokenizer.vocabulary above the largest id plus one, or choose a tokenizer for text",
            example="tokenizer: {kind: bytes}",
        )

    def _decode(self, ids: Int32) -> str:
        return " ".join(map(str, ids.tolist()))

    def _token_bytes(self) -> Int32:
        return np.zeros(self.size, dtype=np.int32)

    @property
    def _special(self) -> Bools:
        special = np.zeros(self.size, dtype=np.bool_)
        special[self.end_of_document] = True
        return special

    def _definition(self) -> dict[str, object]:
        return {"kind": "ids"}
