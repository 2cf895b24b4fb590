"""Corpora: what is read is exactly what is there, and everything else is an error with its place."""

from __future__ import annotations

import gzip
import json
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from hydra.data.config import SyntheticCorpus
from hydra.data.corpora.jsonl import read_jsonl
from hydra.data.corpora.parquet import read_parquet
from hydra.data.corpora.stdlib import EXCLUDED, library_files, read_source
from hydra.data.corpora.synthetic import RUN, synthetic_documents
from hydra.data.corpora.text import read_text
from hydra.data.corpora.text_corpus import TextCorpus
from hydra.data.document import Document
from hydra.data.files import FileDigests, expand
from hydra.errors import DataError


def texts(documents: Iterator[Document]) -> list[tuple[object, str]]:
    return [(document.content, document.origin) for document in documents]


def write_zst(path: Path, content: bytes) -> None:
    with pyarrow.output_stream(str(path), compression="zstd") as stream:
        stream.write(content)


WRITERS: dict[str, Callable[[Path, bytes], object]] = {
    "": lambda path, content: path.write_bytes(content),
    ".gz": lambda path, content: path.write_bytes(gzip.compress(content)),
    ".zst": write_zst,
}
compressed = pytest.mark.parametrize("suffix", WRITERS)


@compressed
def test_text_is_kept_byte_for_byte(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.txt{suffix}"
    content = "\ufeffone\r\ntwo\rthree \u00e9\n".encode()
    WRITERS[suffix](path, content)
    ((text, origin),) = texts(read_text(path, "strict"))
    assert str(text).encode() == content
    assert origin == f"{path}:1"


@compressed
def test_undecodable_text_names_its_line_or_is_replaced_when_asked(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.txt{suffix}"
    WRITERS[suffix](path, b"one\ntwo\nthr\xffee\n")
    with pytest.raises(DataError, match=r"a\.txt\S*:3: byte 0xff is not UTF-8") as caught:
        list(read_text(path, "strict"))
    assert caught.value.exit_code == 3
    assert texts(read_text(path, "replace"))[0][0] == "one\ntwo\nthr\ufffdee\n"


@compressed
def test_jsonl_gives_one_document_a_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    values = ["one\ntwo", "", "\u2028 \U0001f600", "last"]
    WRITERS[suffix](path, "\n".join(json.dumps({"text": value, "other": 1}) for value in values).encode())
    assert texts(read_jsonl(path, "text")) == [(value, f"{path}:{n}") for n, value in enumerate(values, start=1)]


# Bytes flipped inside a .zst are found only where its writer added a checksum, as the zstd program does and pyarrow
# does not; those of a .gz always.
@pytest.mark.parametrize(
    ("suffix", "damage"), [(".gz", "cut"), (".zst", "cut"), (".gz", "other"), (".zst", "other"), (".gz", "flipped")]
)
def test_a_damaged_compressed_file_is_an_error(suffix: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    WRITERS[suffix](path, b"".join(b'{"text": "%d"}\n' % number for number in range(5000)))
    raw = bytearray(path.read_bytes())
    if damage == "cut":
        raw = raw[:-9]
    elif damage == "flipped":
        raw[len(raw) // 2 : len(raw) // 2 + 8] = b"\xff" * 8
    else:
        raw = bytearray(b"plain text")
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.jsonl"):
        list(read_jsonl(path, "text"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "x"', ":2: not JSON"),
        (b"", ":2: not JSON"),
        (b"[1]", ":2: a list, not an object"),
        (b"null", ":2: a null, not an object"),
        (b'{"txt": "x"}', ":2: no field 'text'; did you mean 'txt'"),
        (b"{}", ":2: no field 'text'"),
        (b'{"text": 3}', ":2: field 'text' is a number, not a string"),
        (b'{"text": null}', ":2: field 'text' is a null"),
        (b'{"text": {"a": 1}}', ":2: field 'text' is a object"),
        (b'{"text": "\xff"}', ":2: byte 0xff is not UTF-8"),
        (b"[" * 200000, ":2: not JSON"),
        (b"9" * 5000, ":2: not JSON"),
    ],
)
def test_a_malformed_line_is_an_error_with_its_number(line: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "fine"}\n' + line + b'\n{"text": "fine"}\n')
    with pytest.raises(DataError) as caught:
        list(read_jsonl(path, "text"))
    assert f"{path}{message}" in str(caught.value)


def test_parquet_rows_are_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    values = [f"row {number} \u00e9" for number in range(3000)]
    for kind in (pyarrow.string(), pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())):
        table = pyarrow.table({"n": list(range(3000)), "body": pyarrow.array(values).cast(kind)})
        pyarrow.parquet.write_table(table, path, row_group_size=700)
        assert texts(read_parquet(path, "body")) == [(v, f"{path}:{n}") for n, v in enumerate(values, start=1)]


def _invalid_utf8() -> pyarrow.Array:
    offsets, data = pyarrow.py_buffer(np.array([0, 1, 2], dtype=np.int32)), pyarrow.py_buffer(b"a\xff")
    return pyarrow.Array.from_buffers(pyarrow.string(), 2, [None, offsets, data])


@pytest.mark.parametrize(
    ("column", "name", "message"),
    [
        (pyarrow.array(["x"]), "txt", "no column 'text'; did you mean 'txt'"),
        (pyarrow.array([1, 2]), "text", "column 'text' holds int64, not strings"),
        (pyarrow.array([b"x"]), "text", "column 'text' holds binary, not strings"),
        (pyarrow.array(["a", None]), "text", "a.parquet:2: column 'text' is null"),
        (_invalid_utf8(), "text", "a.parquet:2: column 'text' is not UTF-8"),
    ],
)
def test_a_wrong_parquet_column_is_an_error(column: pyarrow.Array, name: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({name: column}), path)
    with pytest.raises(DataError) as caught:
        list(read_parquet(path, "text"))
    assert message in str(caught.value)


def test_what_is_not_parquet_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["x"] * 1000}), path)
    for content in (b"", b"text", path.read_bytes()[:-20], path.read_bytes()[40:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cannot read .*a\.parquet"):
            list(read_parquet(path, "text"))


def test_the_standard_library_is_read_whole_sorted_and_without_tests() -> None:
    root = Path(sysconfig.get_path("stdlib"))
    files = library_files()
    names = [path.relative_to(root).as_posix() for path in files]
    assert names == sorted(names)
    assert {"ast.py", "json/decoder.py", "typing.py"} <= set(names)
    assert not any(EXCLUDED.intersection(name.split("/")) for name in names)
    assert 8e6 < sum(path.stat().st_size for path in files) < 20e6
    texts_ = [next(read_source(path)) for path in files]
    assert all(document.content for document in texts_)
    ast = texts_[names.index("ast.py")]
    assert ast.content == (root / "ast.py").read_bytes().decode()


def test_a_source_is_decoded_as_it_declares(tmp_path: Path) -> None:
    (tmp_path / "sub" / "tests").mkdir(parents=True)
    (tmp_path / "b.py").write_bytes(b"# -*- coding: latin-1 -*-\nx = '\xe9'\r\n")
    (tmp_path / "sub" / "a.py").write_bytes(b"\xef\xbb\xbfy = 1\n")
    (tmp_path / "sub" / "tests" / "t.py").write_bytes(b"left out")
    (tmp_path / "empty.py").write_bytes(b"")
    files = library_files(tmp_path)
    assert [path.name for path in files] == ["b.py", "a.py"]
    assert [next(read_source(path)).content for path in files] == [
        "# -*- coding: latin-1 -*-\nx = '\u00e9'\r\n",
        "y = 1\n",
    ]
    (tmp_path / "b.py").write_bytes(b"a = 1\nb = '\xe9'\n")
    with pytest.raises(DataError, match=r"b\.py:2: cannot be decoded"):
        list(read_source(tmp_path / "b.py"))


def test_an_interpreter_without_sources_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no Python sources below"):
        library_files(tmp_path)


def test_synthetic_ids_have_a_pattern_and_a_seed() -> None:
    config = SyntheticCorpus(kind="synthetic", tokens=100_000, document=100, seed=3)
    documents = list(synthetic_documents(config, 1000, 500))
    ids = np.stack([document.content for document in documents]).astype(np.int64)
    assert ids.shape == (1000, 98)
    assert ids.min() >= 0
    assert ids.max() < 1000
    assert not (ids == 500).any()
    places = ids - (ids > 500)
    strides = (np.diff(places[:, : RUN * 6].reshape(-1, RUN), axis=1)) % 999
    assert (strides == strides[0, 0]).all()
    again = np.stack([document.content for document in synthetic_documents(config, 1000, 500)])
    assert np.array_equal(ids, again)
    other = config.model_copy(update={"seed": 4})
    assert not np.array_equal(ids, np.stack([document.content for document in synthetic_documents(other, 1000, 500)]))


def test_synthetic_data_for_less_than_two_documents_is_an_error() -> None:
    with pytest.raises(DataError, match="150 tokens are not two documents of 100"):
        list(synthetic_documents(SyntheticCorpus(kind="synthetic", tokens=150, document=100), 10, 9))


def test_names_and_patterns_expand_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c[1].txt", "d.md"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.txt").mkdir()
    found = expand([str(tmp_path / "d.md"), str(tmp_path / "[ab].txt"), str(tmp_path / "c[1].txt")])
    assert [path.name for path in found] == ["d.md", "a.txt", "b.txt", "c[1].txt"]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["nothing.txt"], "no file is named, or matches, 'nothing.txt'"),
        (["*.nothing"], "no file is named, or matches, '*.nothing'"),
        (["a.txt", "*.txt"], "is named twice"),
        (["."], "is a folder"),
    ],
)
def test_files_that_are_missing_or_doubled_are_errors(
    patterns: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError) as caught:
        expand(patterns)
    assert message in caught.value.what


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n')
    corpus = TextCorpus("web", (tmp_path / "a.jsonl",), lambda path: read_jsonl(path, "text"))
    with pytest.raises(DataError, match="the corpus of source 'web' is empty: 1 files, no text"):
        list(corpus.documents())


def test_a_digest_follows_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra.data.files.LARGE", 4)
    monkeypatch.setattr("hydra.data.files.SETTLED_SECONDS", -1.0)
    path, folder = tmp_path / "a", tmp_path / "cache"
    path.write_bytes(b"12345678")
    first = FileDigests(folder).digest(path)
    read: list[Path] = []
    monkeypatch.setattr("hydra.data.files._sha256", lambda path, length: read.append(path) or "read again")
    assert FileDigests(folder).digest(path) == first
    assert not read
    path.write_bytes(b"12345679")
    assert FileDigests(folder).digest(path) == "read again"
    assert FileDigests(folder).digest(path, tail=2) == "read again"
    assert len(read) == 2


def test_a_file_still_changing_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra.data.files.LARGE", 4)
    (tmp_path / "a").write_bytes(b"12345678")
    FileDigests(tmp_path / "cache").digest(tmp_path / "a")
    assert not (tmp_path / "cache" / "file-digests.json").exists()


def test_damaged_digests_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra.data.files.LARGE", 4)
    (tmp_path / "a").write_bytes(b"12345678")
    (tmp_path / "file-digests.json").write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        FileDigests(tmp_path).digest(tmp_path / "a")
