"""From a manifest to a dataset: built once, found again, one answer for text and shards, and every refusal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hydra.data import build_shards, prepare, vocabulary_of
from hydra.data.document import content_key
from hydra.data.split import threshold
from hydra.errors import DataError
from hydra.manifest import Manifest

BPE = {"kind": "bpe", "vocabulary": 270}


@pytest.mark.parametrize("kind", ["bytes", "bpe", "ids", "huggingface"])
def test_the_vocabulary_is_known_before_anything_is_built(
    kind: str, make_manifest: Any, jsonl: dict[str, Any], tmp_path: Path
) -> None:
    corpus: dict[str, Any] = {"kind": "synthetic", "tokens": 50_000} if kind == "ids" else jsonl
    tokenizer: dict[str, Any] = {"kind": kind}
    if kind == "bpe":
        tokenizer["vocabulary"] = 270
    elif kind == "ids":
        tokenizer["vocabulary"] = 128256
    elif kind == "huggingface":
        prepare(make_manifest(jsonl, tokenizer=BPE)).tokenizer.save(tmp_path / "saved")
        tokenizer["file"] = str(tmp_path / "saved" / "tokenizer.json")
    manifest = make_manifest(corpus, tokenizer=tokenizer)
    assert vocabulary_of(manifest) == prepare(manifest).vocabulary


def test_a_second_start_builds_nothing(
    make_manifest: Any, jsonl: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make_manifest(jsonl, tokenizer={"kind": "bpe", "vocabulary": 270})
    first = prepare(manifest)
    monkeypatch.setattr("hydra.data.artifacts._build", lambda *_: pytest.fail("built again"))
    second = prepare(manifest)
    assert second.fingerprint == first.fingerprint
    assert second.tokenizer.digest == first.tokenizer.digest
    assert np.array_equal(first.rows(np.arange(9)).tokens, second.rows(np.arange(9)).tokens)


def test_moving_a_corpus_changes_nothing_and_editing_it_does(make_manifest: Any, jsonl: dict[str, Any]) -> None:
    first = prepare(make_manifest(jsonl)).fingerprint
    path = Path(jsonl["files"][0])
    moved = path.rename(path.with_name("moved.jsonl"))
    corpus = {"kind": "jsonl", "files": [str(moved)]}
    assert prepare(make_manifest(corpus)).fingerprint == first
    moved.write_text(moved.read_text().replace("document 7", "document seven"))
    assert prepare(make_manifest(corpus)).fingerprint != first


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {"packing": "pad"}, {"document_masks": False}, {"sequence": 15}, {"held_out": 0.3}],
    ids=str,
)
def test_whatever_changes_rows_changes_the_fingerprint(
    change: dict[str, Any], make_manifest: Any, jsonl: dict[str, Any]
) -> None:
    assert prepare(make_manifest(jsonl)).fingerprint != prepare(make_manifest(jsonl, **change)).fingerprint


def test_prefetch_does_not_change_the_fingerprint(make_manifest: Any, jsonl: dict[str, Any]) -> None:
    assert prepare(make_manifest(jsonl)).fingerprint == prepare(make_manifest(jsonl, prefetch=9)).fingerprint


BPE = {"kind": "bpe", "vocabulary": 270}


@pytest.mark.parametrize("tokenizer", [{"kind": "bytes"}, BPE], ids=["bytes", "bpe"])
def test_a_run_on_shards_equals_the_run_on_their_text(
    tokenizer: dict[str, Any], make_manifest: Any, jsonl: dict[str, Any], tmp_path: Path
) -> None:
    manifest = make_manifest(jsonl, tokenizer=tokenizer)
    (path,) = build_shards(manifest, tmp_path / "out")
    assert path == tmp_path / "out" / "jsonl.shard"
    saved = str(tmp_path / "out" / "tokenizer" / "tokenizer.json")
    named = {"kind": "huggingface", "file": saved} if tokenizer is BPE else tokenizer
    shards = prepare(make_manifest({"kind": "shards", "files": [str(path)]}, tokenizer=named))
    text = prepare(manifest)
    assert np.array_equal(shards.rows(np.arange(50)).tokens, text.rows(np.arange(50)).tokens)
    assert np.array_equal(shards.held_out(None).tokens, text.held_out(None).tokens)
    assert shards.fingerprint == text.fingerprint
    with pytest.raises(DataError, match=r"jsonl\.shard exists"):
        build_shards(manifest, tmp_path / "out")
    with pytest.raises(DataError, match="already is shards"):
        build_shards(make_manifest({"kind": "shards", "files": [str(path)]}), tmp_path / "other")


def test_bpe_learns_from_training_documents_alone(make_manifest: Any, tmp_path: Path) -> None:
    """Held-out documents hold one word, training documents another; only the latter may become an id."""
    path = tmp_path / "a.jsonl"

    def text(number: int) -> str:
        held = content_key(f"{number} qqqqqqqq".encode()) < threshold(0.3)
        return f"{number} qqqqqqqq" if held else f"{number} zzzzzzzz"

    texts = [text(number) for number in range(300)]
    texts = [t for t in texts if (content_key(t.encode()) < threshold(0.3)) == ("q" in t)]
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    corpus = {"kind": "jsonl", "files": [str(path)]}
    tokenizer = prepare(make_manifest(corpus, tokenizer={"kind": "bpe", "vocabulary": 262}, held_out=0.3)).tokenizer
    assert len(tokenizer.encode(" zzzzzzzz")) == 1
    assert len(tokenizer.encode(" qqqqqqqq")) == 9


def test_synthetic_data_go_with_any_tokenizer(make_manifest: Any) -> None:
    corpus = {"kind": "synthetic", "tokens": 50_000, "document": 100}
    for tokenizer in ({"kind": "ids", "vocabulary": 128256}, {"kind": "bytes"}):
        dataset = prepare(make_manifest(corpus, tokenizer=tokenizer))
        tokens = dataset.rows(np.arange(300)).tokens
        assert tokens.max() == dataset.tokenizer.end_of_document
        assert tokens.min() >= 0


def test_the_default_manifest_trains_on_the_standard_library(make_manifest: Any) -> None:
    dataset = prepare(make_manifest({"kind": "stdlib"}, sequence=256, held_out=0.02, batch=16))
    summary: Any = dataset.summary()
    assert summary["sources"]["stdlib"]["training"]["bytes"] > 8e6
    assert summary["sources"]["stdlib"]["held_out"]["documents"] > 3
    assert dataset.vocabulary == 384


def text_files(tmp_path: Path, *contents: bytes) -> dict[str, Any]:
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.txt").write_bytes(content)
    return {"kind": "text", "files": [str(tmp_path / "*.txt")]}


def refused(manifest: Manifest) -> DataError:
    with pytest.raises(DataError) as caught:
        prepare(manifest)
    assert caught.value.exit_code == 3
    return caught.value


def test_a_sequence_longer_than_the_corpus_names_both_numbers(make_manifest: Any, jsonl: dict[str, Any]) -> None:
    summary: Any = prepare(make_manifest(jsonl)).summary()
    tokens = summary["sources"]["jsonl"]["training"]["tokens"]
    error = refused(make_manifest(jsonl, sequence=1_000_000))
    assert "data.sequence=1,000,000 is longer than the corpus" in error.what
    assert f"{tokens:,} training tokens" in error.what
    prepare(make_manifest(jsonl, sequence=int(error.example.rpartition("=")[2])))


def test_fewer_rows_than_a_batch(make_manifest: Any, jsonl: dict[str, Any]) -> None:
    error = refused(make_manifest(jsonl, sequence=2000, batch=64))
    assert "training rows of 2,000 targets, a batch takes 64 of them" in error.what
    prepare(make_manifest(jsonl, batch=64, sequence=int(error.example.rpartition("=")[2])))


def test_bad_corpora_are_refused_through_the_front_door(make_manifest: Any, tmp_path: Path) -> None:
    assert "no file is named" in refused(make_manifest({"kind": "text", "files": ["nothing/*.txt"]})).what
    assert "is empty" in refused(make_manifest(text_files(tmp_path, b"", b""))).what
    assert "held-out split is empty" in refused(make_manifest(text_files(tmp_path, b"y" * 999, b"y" * 999))).what
    assert ":2: byte 0xff" in refused(make_manifest(text_files(tmp_path, b"x", b"a\n\xff"))).what
    ids = {"kind": "ids", "vocabulary": 10}
    numbers = text_files(tmp_path, b"1 10", b"2")
    assert "0.txt:1: '10' is not an id" in refused(make_manifest(numbers, tokenizer=ids)).what
    shards = {"kind": "shards", "files": [str(tmp_path / "0.txt")]}
    assert "does not begin as a shard does" in refused(make_manifest(shards)).what
    assert "has no text to be trained on" in refused(make_manifest(shards, tokenizer=BPE)).what
    missing = {"kind": "huggingface", "file": str(tmp_path / "tokenizer.json")}
    assert "tokenizer.json" in refused(make_manifest(text_files(tmp_path, b"x", b"y"), tokenizer=missing)).what


def test_a_refused_build_leaves_no_artifact(make_manifest: Any, tmp_path: Path) -> None:
    refused(make_manifest(text_files(tmp_path, b"x", b"a\n\xff")))
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == [".locks"]


def test_a_damaged_artifact_is_refused_and_can_be_removed(
    make_manifest: Any, jsonl: dict[str, Any], tmp_path: Path
) -> None:
    manifest = make_manifest(jsonl)
    first = prepare(manifest)
    (shard,) = (tmp_path / "tokens").glob("*/tokens.shard")
    shard.chmod(0o644)
    raw = bytearray(shard.read_bytes())
    raw[400] ^= 1
    shard.write_bytes(raw)
    assert "digest" in refused(manifest).what
    shard.unlink()
    (shard.parent / "artifact.json").unlink()
    shard.parent.rmdir()
    assert prepare(manifest).fingerprint == first.fingerprint


def test_files_that_change_while_they_are_read_are_refused(
    make_manifest: Any, jsonl: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra.data import building

    original = building.write_shard

    def edits(*arguments: Any) -> object:
        header = original(*arguments)
        path = Path(jsonl["files"][0])
        path.write_text(path.read_text() + '{"text": "more"}\n')
        return header

    monkeypatch.setattr(building, "write_shard", edits)
    assert "changed while they were read" in refused(make_manifest(jsonl)).what


def test_the_package_is_light_until_used() -> None:
    program = (
        "import sys; import hydra.data; import hydra.data.config; from hydra.manifest import load\n"
        "heavy = {'torch', 'tokenizers', 'pyarrow', 'numpy'} & set(sys.modules); assert not heavy, heavy\n"
        "from hydra.data import prepare, show, build_shards, load_tokenizer\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
