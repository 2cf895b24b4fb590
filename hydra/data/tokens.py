"""From documents to a shard: tokenizing, in chunks of whole documents."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from hydra.data.arrays import Int32
from hydra.data.document import Document, content_key
from hydra.data.shard_writer import ShardWriter
from hydra.data.shards import Header
from hydra.data.tokenizers.tokenizer import Tokenizer
from hydra.errors import DataError

logger = logging.getLogger(__name__)

#: Characters (or ids) and documents after which a chunk is full: enough to keep all cores of the tokenizer busy,
#: little enough that its intermediate results stay small.
_CHUNK_SIZE = 1 << 21
_CHUNK_DOCUMENTS = 1 << 14
_REPORT_SECONDS = 5.0


def write_shard(path: Path, documents: Iterable[Document], tokenizer: Tokenizer, name: str) -> Header:
    """Tokenize all documents into a new shard and say how fast it goes.

    Raises DataError for what a corpus or the tokenizer refuses, and when there is no document at all.
    """
    started = reported = time.monotonic()
    text_bytes = count = tokens = 0
    with ShardWriter(path, tokenizer) as writer:
        for chunk in _chunks(documents):
            encoded = [document.encoded() for document in chunk]
            ids = _ids(chunk, tokenizer)
            sizes = [_text_bytes(document, bytes_, tokenizer) for document, bytes_ in zip(chunk, encoded, strict=True)]
            writer.append(ids, [content_key(bytes_) for bytes_ in encoded], sizes)
            text_bytes, count, tokens = text_bytes + sum(sizes), count + len(chunk), tokens + sum(map(len, ids))
            if time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                _report(name, count, tokens, text_bytes, reported - started)
        if not count:
            raise DataError(
                f"the corpus of source '{name}' has no documents",
                why="there is nothing to train on, and nothing is put in its place",
                fix="name files that hold documents",
                example="corpus: {kind: jsonl, files: [data/*.jsonl]}",
            )
        header = writer.finish()
    _report(name, count, tokens, text_bytes, time.monotonic() - started)
    return header


def _chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    chunk: list[Document] = []
    size = 0
    for document in documents:
        chunk.append(document)
        size += len(document.content)
        if size >= _CHUNK_SIZE or len(chunk) >= _CHUNK_DOCUMENTS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _ids(chunk: list[Document], tokenizer: Tokenizer) -> list[Int32]:
    """Ids of a chunk of texts, or of ids as they are: a corpus is all of one or all of the other."""
    if isinstance(chunk[0].content, str):
        return tokenizer.encode_documents(chunk)
    return [document.content for document in chunk if not isinstance(document.content, str)]


def _text_bytes(document: Document, encoded: bytes, tokenizer: Tokenizer) -> int:
    if isinstance(document.content, str):
        return len(encoded)
    return int(tokenizer.token_bytes[document.content].sum(dtype=np.int64))


def _report(name: str, documents: int, tokens: int, text_bytes: int, seconds: float) -> None:
    rate = tokens / max(seconds, 1e-9)
    logger.info(
        "%s: %s documents, %s tokens, %.1f MB of text, %s tokens/s",
        name,
        f"{documents:,}",
        f"{tokens:,}",
        text_bytes / 1e6,
        f"{rate:,.0f}",
    )
