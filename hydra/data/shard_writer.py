"""The writer of shards: documents in, one checked file out."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from hydra.data.arrays import Int32
from hydra.data.shards import HEADER_BYTES, Header
from hydra.data.tokenizers.tokenizer import Tokenizer
from hydra.errors import DataError


class ShardWriter:
    """Writes documents as they come; only the index of documents is kept in memory.

    A context manager: leaving it without `finish` leaves a file without header, which no reader takes for a shard.
    """

    def __init__(self, path: Path, tokenizer: Tokenizer) -> None:
        """Creates the file. Raises FileExistsError: a shard is never written over."""
        self._path, self._tokenizer = path, tokenizer
        self._kind = np.dtype("<u2" if tokenizer.size <= 1 << 16 else "<u4")
        self._lengths, self._keys, self._sizes = array("Q"), array("Q"), array("Q")
        self._largest = 0
        self._file = path.open("x+b")
        self._file.write(b"\0" * HEADER_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def append(self, documents: Sequence[Int32], keys: Sequence[int], sizes: Sequence[int]) -> None:
        """Add documents: the ids between their ends, their content keys, the bytes of their texts.

        Raises DataError for an id outside the tokenizer.
        """
        end = np.array([self._tokenizer.end_of_document], dtype=np.int32)
        tokens = np.concatenate([part for document in documents for part in (end, document, end)])
        if int(tokens.min()) < 0 or int(tokens.max()) >= self._tokenizer.size:
            raise DataError(
                f"{self._path}: ids from {tokens.min()} to {tokens.max()} do not fit a tokenizer of "
                f"{self._tokenizer.size} ids",
                why="ids are never clamped, and a model has no row for those outside",
                fix="use the tokenizer that the ids were made with",
                example="tokenizer: {kind: ids, vocabulary: 50304}",
            )
        self._largest = max(self._largest, int(tokens.max()))
        self._file.write(tokens.astype(self._kind).data)
        self._lengths.extend(len(document) + 2 for document in documents)
        self._keys.extend(keys)
        self._sizes.extend(sizes)

    def finish(self) -> Header:
        """Write index, header and digest, and wait until all of it is on the disk."""
        offsets = np.zeros(len(self._lengths) + 1, dtype="<u8")
        np.cumsum(np.array(self._lengths, dtype=np.uint64), out=offsets[1:])
        header = Header(
            token_width=self._kind.itemsize,
            tokens=int(offsets[-1]),
            documents=len(self._lengths),
            text_bytes=sum(self._sizes),
            largest_id=self._largest,
            tokenizer=self._tokenizer.digest,
        )
        self._file.seek(HEADER_BYTES + header.token_section())
        for index in (offsets, np.array(self._keys, dtype="<u8"), np.array(self._sizes, dtype="<u8")):
            self._file.write(index.data)
        self._file.seek(0)
        self._file.write(header.packed())
        self._file.seek(0)
        digest = hashlib.file_digest(self._file, "sha256").digest()
        self._file.write(digest)
        self._file.flush()
        os.fsync(self._file.fileno())
        return header
