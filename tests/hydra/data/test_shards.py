"""The shard format: what is written is read back, and nothing else is believed."""

from __future__ import annotations

import hashlib
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra.data.arrays import Int32
from hydra.data.document import Document, content_key
from hydra.data.files import FileDigests
from hydra.data.shard_writer import ShardWriter
from hydra.data.shards import HEADER_BYTES, Shard
from hydra.data.store import TokenStore
from hydra.data.tokenizers.bytes import ByteTokenizer
from hydra.data.tokenizers.ids import IdTokenizer
from hydra.data.tokenizers.tokenizer import Tokenizer
from hydra.data.tokens import write_shard
from hydra.errors import DataError

SMALL, LARGE = IdTokenizer(1000), IdTokenizer(128256)


def written(path: Path, documents: list[list[int]], tokenizer: Tokenizer = SMALL) -> Path:
    path.unlink(missing_ok=True)
    with ShardWriter(path, tokenizer) as writer:
        arrays: list[Int32] = [np.array(ids, dtype=np.int32) for ids in documents]
        writer.append(arrays, [2**64 - 1 - number for number in range(len(documents))], [len(ids) for ids in documents])
        writer.finish()
    return path


def opened(path: Path, tokenizer: Tokenizer = SMALL) -> Shard:
    return Shard(path, tokenizer, FileDigests(path.parent / "cache"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(st.lists(st.integers(0, 998), max_size=9), min_size=1, max_size=9), wide=st.booleans())
def test_documents_come_back(documents: list[list[int]], wide: bool, tmp_path: Path) -> None:
    tokenizer = LARGE if wide else SMALL
    shard = opened(written(tmp_path / "a.shard", documents, tokenizer), tokenizer)
    assert shard.tokens.dtype.itemsize == (4 if wide else 2)
    bounds = shard.offsets.tolist()
    found = [shard.tokens[first:last].tolist() for first, last in itertools.pairwise(bounds)]
    end = tokenizer.end_of_document
    assert found == [[end, *ids, end] for ids in documents]
    assert shard.keys.tolist() == [2**64 - 1 - number for number in range(len(documents))]
    assert shard.sizes.tolist() == [len(ids) for ids in documents]
    assert shard.header.text_bytes == sum(map(len, documents))
    assert shard.header.largest_id == end


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    """Read with nothing but struct, as a program in another language would."""
    raw = written(tmp_path / "a.shard", [[1, 2], [3]]).read_bytes()
    facts = struct.unpack_from("<8sIIQQQQ32s", raw)
    assert facts == (b"HYDRATOK", 1, 2, 7, 2, 3, 999, bytes.fromhex(SMALL.digest))
    assert struct.unpack_from("<7H", raw, 256) == (999, 1, 2, 999, 999, 3, 999)
    assert struct.unpack_from("<3Q2Q2Q", raw, 256 + 16) == (0, 4, 7, 2**64 - 1, 2**64 - 2, 2, 1)
    assert raw[-32:] == hashlib.sha256(raw[:-32]).digest()
    assert len(raw) == 256 + 16 + 7 * 8 + 32


def test_every_torn_length_and_every_changed_byte_is_found(tmp_path: Path) -> None:
    path = written(tmp_path / "a.shard", [[1, 2], [3]])
    raw = path.read_bytes()
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(DataError, match=r"a\.shard"):
            opened(path)
    for place in range(len(raw)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(DataError, match=r"a\.shard"):
            opened(path)
    path.write_bytes(raw + b"\0")
    with pytest.raises(DataError, match="torn"):
        opened(path)


def test_a_writer_that_did_not_finish_left_no_shard(tmp_path: Path) -> None:
    path = tmp_path / "a.shard"
    with ShardWriter(path, SMALL) as writer:
        writer.append([np.array([1], dtype=np.int32)], [0], [0])
    with pytest.raises(DataError, match="does not begin as a shard does"):
        opened(path)
    with pytest.raises(FileExistsError):
        ShardWriter(path, SMALL)


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.shard", [[1]])
    with pytest.raises(DataError, match=r"was written with tokenizer [0-9a-f]{12}, the manifest's is [0-9a-f]{12}"):
        opened(path, IdTokenizer(1001))


def forged(path: Path, change: dict[int, bytes]) -> Path:
    """A shard with some bytes changed and the digest made to fit: what a faulty writer would leave."""
    raw = bytearray(path.read_bytes())
    for place, content in change.items():
        raw[place : place + len(content)] = content
    path.write_bytes(raw[:-32] + hashlib.sha256(raw[:-32]).digest())
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({8: struct.pack("<I", 2)}, "is of version 2"),
        ({12: struct.pack("<I", 3)}, "width 3"),
        ({16: struct.pack("<Q", 70)}, "it was torn"),
        ({40: struct.pack("<Q", 1000)}, "id 1000 is not below 1000"),
        ({HEADER_BYTES + 16: struct.pack("<Q", 1)}, "offsets do not divide"),
        ({HEADER_BYTES + 24: struct.pack("<Q", 6)}, "offsets do not divide"),
        ({HEADER_BYTES + 32: struct.pack("<Q", 6)}, "offsets do not divide"),
    ],
)
def test_a_faulty_writer_is_found(change: dict[int, bytes], message: str, tmp_path: Path) -> None:
    path = forged(written(tmp_path / "a.shard", [[1, 2], [3]]), change)
    with pytest.raises(DataError, match=message):
        opened(path)


@pytest.mark.parametrize("ids", [[1000], [-1]])
def test_ids_outside_the_tokenizer_are_not_written(ids: list[int], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not fit a tokenizer of 1000 ids"):
        written(tmp_path / "a.shard", [ids])


def test_a_store_joins_shards(tmp_path: Path) -> None:
    parts = [[[1, 2, 3], [4]], [[5, 6]], [[7], [8, 9, 10, 11], [12]]]
    store = TokenStore([opened(written(tmp_path / f"{n}.shard", part)) for n, part in enumerate(parts)])
    flat = [[999, *ids, 999] for part in parts for ids in part]
    assert store.documents == 6
    assert store.lengths.tolist() == [len(ids) for ids in flat]
    generator = np.random.default_rng(0)
    documents = generator.integers(0, 6, 50)
    starts = np.array([generator.integers(0, len(flat[d])) for d in documents])
    lengths = np.array([generator.integers(0, len(flat[d]) - s + 1) for d, s in zip(documents, starts, strict=True)])
    expected = [token for d, s, n in zip(documents, starts, lengths, strict=True) for token in flat[d][s : s + n]]
    assert store.gather(documents, starts, lengths).tolist() == expected


def test_text_becomes_a_shard_with_the_keys_of_its_content(tmp_path: Path) -> None:
    texts = ["one", "", "\u00e9" * 10, "one"]
    tokenizer = ByteTokenizer()
    header = write_shard(tmp_path / "a", (Document(text, "x") for text in texts), tokenizer, "web")
    shard = opened(tmp_path / "a", tokenizer)
    assert (header.documents, header.text_bytes, header.tokens) == (4, 26, 34)
    assert shard.keys.tolist() == [content_key(text.encode()) for text in texts]
    with pytest.raises(DataError, match="the corpus of source 'web' has no documents"):
        write_shard(tmp_path / "b", iter(()), tokenizer, "web")


def test_chunks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(f"text {number} " * (number % 7), "x") for number in range(100)]
    write_shard(tmp_path / "whole", documents, ByteTokenizer(), "web")
    monkeypatch.setattr("hydra.data.tokens._CHUNK_SIZE", 50)
    write_shard(tmp_path / "parts", documents, ByteTokenizer(), "web")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()
