"""One document of a corpus, and the key that names its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hydra.data.arrays import Int32
from hydra.errors import DataError


@dataclass(frozen=True, slots=True)
class Document:
    """A text, or the token ids of one, with the place it came from (`file:line`).

    Ids are those between the two end-of-document ids, which the token stream adds itself.
    """

    content: str | Int32
    origin: str

    def encoded(self) -> bytes:
        """The content as bytes: UTF-8 of a text, little-endian u32 of ids.

        Raises DataError for a text that has no UTF-8 form: a lone surrogate, which JSON can spell as an escape.
        """
        if not isinstance(self.content, str):
            return self.content.astype("<u4").tobytes()
        try:
            return self.content.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{self.origin}: character {error.start} is the lone surrogate U+{ord(self.content[error.start]):04X}",
                why="half of a surrogate pair has no UTF-8 form, so no tokenizer can give it back",
                fix="repair or remove the document; such text comes from cutting UTF-16 in the middle",
                example='{"text": "\\ud83d\\ude00 is a whole pair"}',
            ) from error


def content_key(encoded: bytes) -> int:
    """The first 64 bits of the content's SHA-256: equal for equal documents wherever they stand."""
    return int.from_bytes(hashlib.sha256(encoded).digest()[:8], "big")
