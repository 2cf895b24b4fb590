"""What a tokenizer is to the rest of Hydra."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from hydra.data.arrays import Bools, Int32
from hydra.data.document import Document
from hydra.errors import DataError
from hydra.runs import write_text

#: File that a saved tokenizer's identity is kept in.
IDENTITY = "hydra-tokenizer.json"
#: The vocabulary is padded to a multiple of this, which matrix units want.
PADDING = 128


class Tokenizer(ABC):
    """Text to ids and back.

    `size` ids exist, 0 to size-1; `vocabulary` is that number padded up to a multiple of 128, and padded ids are
    never targets and never sampled. `end_of_document` is the one special id that Hydra itself places: at both ends
    of every document. No text encodes to it, whatever it spells. A tokenizer that rewrites text before it encodes
    (a prefix space, Unicode normalisation) is measured on the text as rewritten.
    """

    #: Library and version that encoding goes through, where ids could change with it; empty when it is our own code.
    library: ClassVar[str] = ""

    def __init__(self, *, size: int, end_of_document: int, digest: str) -> None:
        self.size = size
        self.end_of_document = end_of_document
        #: Hex SHA-256 of all that decides the ids of a text. Equal digests encode equally.
        self.digest = digest

    @property
    def vocabulary(self) -> int:
        """Number of ids of the model: `size` padded up to a multiple of 128."""
        return -(-self.size // PADDING) * PADDING

    @cached_property
    def token_bytes(self) -> Int32:
        """UTF-8 bytes that each id stands for, [vocabulary]; 0 for special and padded ids. Read-only.

        Summed over targets it is the denominator of bits per byte, so that tokenizers can be compared.
        """
        padded = np.zeros(self.vocabulary, dtype=np.int32)
        padded[: self.size] = self._token_bytes()
        padded.flags.writeable = False
        return padded

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without end-of-document ids. Raises DataError for text this tokenizer cannot take."""
        return [int(token) for token in self.encode_documents([Document(text, "the text")])[0]]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; bytes that are not UTF-8, a character cut short for one, become U+FFFD.

        Special and padded ids stand for no text. Raises DataError for an id outside the vocabulary.
        """
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        outside = array[(array < 0) | (array >= self.vocabulary)]
        if outside.size:
            raise DataError(
                f"id {outside[0]} is not below the vocabulary of {self.vocabulary}",
                why="it was made with another tokenizer",
                fix="decode with the tokenizer that is saved with the run",
                example="load_tokenizer(run / 'tokenizer').decode(ids)",
            )
        array = array[array < self.size]
        return self._decode(array[~self._special[array]].astype(np.int32))

    @abstractmethod
    def encode_documents(self, documents: Sequence[Document]) -> list[Int32]:
        """The ids of several texts at once, each alone. Raises DataError that names a document's origin."""

    @abstractmethod
    def _decode(self, ids: Int32) -> str:
        """The text of ids that are below `size` and not special."""

    @abstractmethod
    def _token_bytes(self) -> Int32:
        """Bytes of each id, [size]."""

    @property
    @abstractmethod
    def _special(self) -> Bools:
        """True for the ids that stand for no text, [size]."""

    @abstractmethod
    def _definition(self) -> dict[str, object]:
        """What `load_tokenizer` needs to build it again, besides files that `save` wrote; has a `kind`."""

    def save(self, directory: Path) -> None:
        """Write the tokenizer into a directory, which is made if it is missing; `load_tokenizer` reads it back."""
        directory.mkdir(parents=True, exist_ok=True)
        facts = {"size": self.size, "end_of_document": self.end_of_document, "digest": self.digest}
        write_text(directory / IDENTITY, json.dumps({"schema": 1, **self._definition(), **facts}, indent=2) + "\n")
