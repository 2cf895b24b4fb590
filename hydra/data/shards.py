"""The shard: one file of token ids with its documents, read by memory map.

    header      256 bytes: magic, version, bytes per token (2 or 4), token count, document count, text bytes,
                largest id, tokenizer digest (32 bytes), zeros
    tokens      u16 or u32, every document with the end-of-document id at both ends; zeros up to a multiple of 8
    offsets     u64, document count + 1: document i is tokens[offsets[i]:offsets[i+1]]
    keys        u64 per document: the first 64 bits of its content's SHA-256, by which documents are held out
    sizes       u64 per document: bytes of its text
    digest      32 bytes: SHA-256 of everything before

All integers are little-endian. The largest id is checked against the vocabulary once, at open: no range check in the
hot loop. A file that is torn or was changed is refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hydra.data.arrays import Int64, Stored, UInt64
from hydra.data.files import FileDigests
from hydra.data.tokenizers.tokenizer import Tokenizer
from hydra.errors import DataError

MAGIC = b"HYDRATOK"
VERSION = 1
HEADER_BYTES = 256
DIGEST_BYTES = 32
_LAYOUT = struct.Struct("<8sIIQQQQ32s")


@dataclass(frozen=True)
class Header:
    """The facts at the start of a shard."""

    token_width: int
    tokens: int
    documents: int
    text_bytes: int
    largest_id: int
    tokenizer: str

    def packed(self) -> bytes:
        """The 256 bytes of the file."""
        numbers = (self.token_width, self.tokens, self.documents, self.text_bytes, self.largest_id)
        return _LAYOUT.pack(MAGIC, VERSION, *numbers, bytes.fromhex(self.tokenizer)).ljust(HEADER_BYTES, b"\0")

    def token_section(self) -> int:
        """Bytes of the tokens with their padding."""
        return -(-self.tokens * self.token_width // 8) * 8

    def file_bytes(self) -> int:
        """Size of a whole file with this header."""
        return HEADER_BYTES + self.token_section() + 8 * (3 * self.documents + 1) + DIGEST_BYTES


class Shard:
    """An open shard: `tokens` [tokens], `offsets` [documents+1], `keys` and `sizes` [documents], memory-mapped."""

    def __init__(self, path: Path, tokenizer: Tokenizer, digests: FileDigests) -> None:
        """Open and check. Raises DataError for a file that is not one, torn, changed, or of another tokenizer."""
        self.path = path
        self.header = _header(path)
        with path.open("rb") as file:
            file.seek(-DIGEST_BYTES, 2)
            #: Hex SHA-256 of the content.
            self.digest = file.read().hex()
        if digests.digest(path, tail=DIGEST_BYTES) != self.digest:
            raise _refused(path, "its content does not have the digest written at its end", "it was changed or torn")
        content = np.memmap(path, dtype=np.uint8, mode="r", offset=HEADER_BYTES).view(np.ndarray)
        width, documents = self.header.token_width, self.header.documents
        self.tokens: Stored = content[: self.header.tokens * width].view("<u2" if width == 2 else "<u4")
        index: UInt64 = content[self.header.token_section() : -DIGEST_BYTES].view("<u8")
        self.offsets: Int64 = index[: documents + 1].view(np.int64)
        self.keys = index[documents + 1 : 2 * documents + 1]
        self.sizes: Int64 = index[2 * documents + 1 :].view(np.int64)
        self._check(tokenizer)

    def _check(self, tokenizer: Tokenizer) -> None:
        if self.header.tokenizer != tokenizer.digest:
            raise DataError(
                f"{self.path} was written with tokenizer {self.header.tokenizer[:12]}, "
                f"the manifest's is {tokenizer.digest[:12]}",
                why="the same ids would stand for other text",
                fix="name the tokenizer that was saved beside the shards, or build the shards again",
                example="tokenizer: {kind: huggingface, file: shards/tokenizer/tokenizer.json}",
            )
        if self.header.largest_id >= tokenizer.size:
            raise _refused(
                self.path,
                f"id {self.header.largest_id} is not below {tokenizer.size}, the tokenizer's ids",
                "a model has no row for such an id, and ids are never clamped",
            )
        if self.offsets[0] != 0 or self.offsets[-1] != self.header.tokens or np.diff(self.offsets).min() < 2:
            raise _refused(self.path, "its document offsets do not divide its tokens", "its writer was at fault")


def _header(path: Path) -> Header:
    try:
        with path.open("rb") as file:
            raw = file.read(HEADER_BYTES)
            size = file.seek(0, 2)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}", "every shard of a corpus is needed") from error
    if len(raw) < HEADER_BYTES or not raw.startswith(MAGIC):
        raise _refused(path, "does not begin as a shard does", "only files of `hydra data build` are read")
    _, version, width, tokens, documents, text_bytes, largest, tokenizer = _LAYOUT.unpack_from(raw)
    header = Header(width, tokens, documents, text_bytes, largest, tokenizer.hex())
    if version != VERSION or width not in (2, 4) or documents < 1:
        raise _refused(path, f"is of version {version}, width {width}, {documents} documents", "this is version 1")
    if size != header.file_bytes():
        raise _refused(path, f"has {size:,} bytes, not {header.file_bytes():,}", "it was torn while written or copied")
    return header


def _refused(path: Path, what: str, why: str) -> DataError:
    return DataError(
        f"{path}: {what}",
        why=why,
        fix="copy the file again, or remove it and build it again; "
        "what lies under data.token_artifacts is built again when its folder is removed",
        example="hydra data build manifests/default.yaml --out shards",
    )
