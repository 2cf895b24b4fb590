"""Tokenizers in the format of the tokenizers library (`tokenizer.json`), read or trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tokenizers

from hydra.data.arrays import Bools, Int32
from hydra.data.document import Document
from hydra.data.tokenizers.spelling import token_bytes, unknown_id
from hydra.data.tokenizers.tokenizer import Tokenizer
from hydra.errors import DataError, nearest
from hydra.runs import write_text

DEFINITION = "tokenizer.json"


class JsonTokenizer(Tokenizer):
    """A tokenizer given by the text of its `tokenizer.json`.

    Special tokens that are spelled out in a text are encoded like any other characters. Truncation, padding, BPE
    dropout and what a post-processor adds are left out: a corpus needs the same ids every time, and all of them.
    """

    library: ClassVar[str] = f"tokenizers {tokenizers.__version__}"

    def __init__(self, text: str, end_of_document: str, origin: str) -> None:
        """`end_of_document` names the token that ends a document, `origin` the file in messages.

        Raises DataError when the text is no tokenizer, lacks that token, or its bytes per id are undetermined.
        """
        definition = _parsed(text, origin)
        for token in definition.get("added_tokens") or []:
            token["special"] = bool(token.get("special")) or token.get("content") == end_of_document
        self._json = json.dumps(definition, ensure_ascii=False, sort_keys=True)
        self._native = _native(self._json, origin)
        self._end_token = end_of_document
        vocabulary = self._native.get_vocab(with_added_tokens=True)
        if end_of_document not in vocabulary:
            raise _no_end(origin, end_of_document, vocabulary)
        digest = hashlib.sha256(f"hydra tokenizer.json 1\x1f{end_of_document}\x1f{self._json}".encode()).hexdigest()
        size = max(vocabulary.values()) + 1
        super().__init__(size=size, end_of_document=vocabulary[end_of_document], digest=digest)
        self._counts = token_bytes(definition, vocabulary, size, origin)
        self._counts[self.end_of_document] = 0
        specials = {token["id"] for token in definition.get("added_tokens") or [] if token["special"]}
        self._specials = np.isin(np.arange(size), [*specials, self.end_of_document])
        self._unknown = unknown_id(definition, vocabulary)

    def encode_documents(self, documents: Sequence[Document]) -> list[Int32]:
        """The ids of each text. Raises DataError where a text has characters that the tokenizer has no ids for."""
        texts = [document.encoded().decode("utf-8") for document in documents]
        encodings = self._native.encode_batch_fast(texts, add_special_tokens=False)
        arrays = [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]
        for document, ids in zip(documents, arrays, strict=True):
            self._require_taken(document, ids)
        return arrays

    def _require_taken(self, document: Document, ids: Int32) -> None:
        for refused, meaning in ((self.end_of_document, "the end of a document"), (self._unknown, "unknown text")):
            if refused is not None and (ids == refused).any():
                raise DataError(
                    f"{document.origin}: the text contains what the tokenizer encodes as id {refused}, {meaning}",
                    why="the text could not be given back, and its bytes would be counted wrong",
                    fix="use a tokenizer with byte fallback or a byte-level one",
                    example="tokenizer: {kind: bpe, vocabulary: 32768}",
                )

    def _decode(self, ids: Int32) -> str:
        return str(self._native.decode(ids.tolist(), skip_special_tokens=False))

    def _token_bytes(self) -> Int32:
        return self._counts

    @property
    def _special(self) -> Bools:
        return self._specials

    def _definition(self) -> dict[str, object]:
        return {"kind": "huggingface", "file": DEFINITION, "end_of_document_token": self._end_token}

    def save(self, directory: Path) -> None:
        """Write `tokenizer.json`, which any program of the Hugging Face family reads, and the identity."""
        directory.mkdir(parents=True, exist_ok=True)
        write_text(directory / DEFINITION, self._json)
        super().save(directory)


def read_definition(path: Path) -> str:
    """The text of a `tokenizer.json`. Raises DataError if it cannot be read as UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _no_tokenizer(str(path), error) from error


def _parsed(text: str, origin: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_tokenizer(origin, error) from error
    if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
        raise _no_tokenizer(origin, "it has no 'model'")
    model = {**value["model"], **({"dropout": None} if "dropout" in value["model"] else {})}
    return {**value, "truncation": None, "padding": None, "model": model}


def _native(text: str, origin: str) -> tokenizers.Tokenizer:
    try:
        # Of the library's ways to read a definition this one alone raises a ValueError and no bare Exception.
        native = tokenizers.Tokenizer.from_buffer(text.encode("utf-8"))
    except ValueError as error:
        raise _no_tokenizer(origin, error) from error
    native.encode_special_tokens = True
    return native


def _no_tokenizer(origin: str, error: object) -> DataError:
    return DataError(
        f"{origin} is not a tokenizer.json: {error}",
        why="the format is that of the tokenizers library; other formats (a .model file, rank files) are not read",
        fix="save the tokenizer with the tokenizers or transformers library and name that tokenizer.json",
        example="tokenizer: {kind: huggingface, file: tokenizers/gpt2/tokenizer.json}",
    )


def _no_end(origin: str, token: str, vocabulary: dict[str, int]) -> DataError:
    close = nearest(token, [name for name in vocabulary if name.startswith(("<", "["))])
    return DataError(
        f"{origin} has no token '{token}'" + (f"; did you mean '{close}'?" if close else ""),
        why="documents are separated by one token, and it must be known to the tokenizer",
        fix="name the token that ends a document in this tokenizer",
        example=f"end_of_document: '{close or '</s>'}'",
    )
