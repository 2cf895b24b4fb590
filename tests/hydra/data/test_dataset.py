"""The dataset: rows against a slow reference, the mix, and the held-out split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hydra.data import Batch, Dataset, prepare, show
from hydra.data.document import content_key
from hydra.data.split import threshold

PACKINGS = pytest.mark.parametrize("packing", ["concat", "bestfit", "pad"])
MASKS = pytest.mark.parametrize("masks", [True, False])


def documents_of(jsonl: dict[str, Any], dataset: Dataset) -> list[list[int]]:
    """The token stream of each document of the corpus, in file order."""
    end = dataset.tokenizer.end_of_document
    texts = [json.loads(line)["text"] for line in Path(jsonl["files"][0]).read_text().splitlines()]
    return [[end, *text.encode(), end] for text in texts]


def check_row(dataset: Dataset, documents: list[list[int]], batch: Batch, index: int) -> list[tuple[int, int]]:
    """Walk a row token by token against the pieces that `show` reports; returns the (document, place) of targets."""
    shown = show(dataset, int(batch.samples[index]), 1)[0]
    end = dataset.tokenizer.end_of_document
    column, targets = 0, []
    for ordinal, piece in enumerate(shown.pieces):
        for offset, token in enumerate(piece.ids):
            assert token == documents[piece.document][piece.start + offset] == batch.tokens[index, column]
            assert batch.documents[index, column] == (ordinal if dataset.masks else 0)
            assert batch.positions[index, column] == (offset if dataset.masks else column)
            if offset:
                targets.append((piece.document, piece.start + offset))
            column += 1
    assert (batch.documents[index, column:] == -1).all()
    assert (batch.tokens[index, column:] == end).all()
    assert batch.valid[index].sum() == (len(targets) if dataset.masks else column - 1)
    assert shown.targets == batch.valid[index].sum()
    return targets


@PACKINGS
@MASKS
def test_one_epoch_reads_every_training_token_once(
    packing: str, masks: bool, make_manifest: Any, jsonl: dict[str, Any]
) -> None:
    dataset = prepare(make_manifest(jsonl, packing=packing, document_masks=masks))
    documents = documents_of(jsonl, dataset)
    rows = dataset.sources[0].training.rows
    batch = dataset.rows(np.arange(rows))
    assert batch.tokens.shape == batch.positions.shape == batch.documents.shape == (rows, 17)
    assert {array.dtype for array in (batch.tokens, batch.positions, batch.documents)} == {np.dtype(np.int32)}
    seen = [target for index in range(rows) for target in check_row(dataset, documents, batch, index)]
    held = [content_key(bytes(ids[1:-1])) < threshold(0.2) for ids in documents]
    learned = [(n, place) for n, ids in enumerate(documents) if not held[n] for place in range(1, len(ids))]
    assert sorted(seen) == learned
    assert any(held)


@PACKINGS
@MASKS
def test_targets_are_counted_without_reading(
    packing: str, masks: bool, make_manifest: Any, jsonl: dict[str, Any]
) -> None:
    dataset = prepare(make_manifest(jsonl, packing=packing, document_masks=masks))
    samples = np.random.default_rng(0).integers(0, 10**6, 200)
    assert dataset.targets(samples) == dataset.rows(samples).valid.sum()
    assert dataset.targets(samples[:0]) == 0


def test_rows_do_not_depend_on_what_else_is_asked_for(make_manifest: Any, jsonl: dict[str, Any]) -> None:
    dataset = prepare(make_manifest(jsonl))
    samples = np.array([10**12, 3, 3, 700, 0])
    together = dataset.rows(samples)
    for index, sample in enumerate(samples):
        alone = dataset.rows(np.array([sample]))
        assert np.array_equal(alone.tokens[0], together.tokens[index])
        assert np.array_equal(alone.documents[0], together.documents[index])
    assert np.array_equal(together.samples, samples)


@PACKINGS
def test_held_out_rows_hold_the_held_out_documents_and_ignore_the_seed(
    packing: str, make_manifest: Any, jsonl: dict[str, Any]
) -> None:
    dataset = prepare(make_manifest(jsonl, packing=packing))
    documents = documents_of(jsonl, dataset)
    held = [ids for ids in documents if content_key(bytes(ids[1:-1])) < threshold(0.2)]
    batch = dataset.held_out(None)
    assert batch.valid.sum() == sum(len(ids) - 1 for ids in held)
    assert batch.target_bytes(dataset.tokenizer.token_bytes).sum() == sum(len(ids) - 2 for ids in held)
    other = prepare(make_manifest(jsonl, packing=packing, seed=99))
    assert np.array_equal(other.held_out(None).tokens, batch.tokens)
    assert not np.array_equal(other.rows(np.arange(20)).tokens, dataset.rows(np.arange(20)).tokens)
    few = dataset.held_out(3)
    assert np.array_equal(few.tokens, batch.tokens[:3])
    assert few.samples.tolist() == [0, 1, 2]


def test_a_few_held_out_rows_are_scattered_over_the_documents(
    make_manifest: Any, jsonl: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In packing order, ten rows would be the beginning of one or two documents."""
    dataset = prepare(make_manifest(jsonl, sequence=8))
    asked: list[np.ndarray] = []
    held = dataset.sources[0].held_out
    original = type(held).pieces
    monkeypatch.setattr(type(held), "pieces", lambda self, rows: asked.append(rows) or original(self, rows))
    dataset.held_out(10)
    (rows,) = asked
    assert len(set(rows.tolist())) == 10
    assert rows.max() - rows.min() > held.rows // 2
    assert len(set(original(held, rows).document.tolist())) > 4


def test_the_seed_shuffles_documents_before_packing(make_manifest: Any, jsonl: dict[str, Any]) -> None:
    orders = []
    for seed in (1, 2):
        packing = prepare(make_manifest(jsonl, seed=seed)).sources[0].training
        orders.append(list(dict.fromkeys(packing.pieces(np.arange(packing.rows)).document.tolist())))
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert sorted(orders[0]) not in orders


def test_bytes_of_targets_by_hand(make_manifest: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": chr(0xE9) * 3 + str(n)}) + "\n" for n in range(40)))
    manifest = make_manifest({"kind": "jsonl", "files": [str(path)]}, packing="pad")
    dataset = prepare(manifest)
    batch = dataset.held_out(None)
    # E 2 2 2 d [d] E: every byte but the two end-of-document ids is a target, and the closing one counts none.
    lengths = (batch.documents >= 0).sum(axis=1)
    assert batch.target_bytes(dataset.tokenizer.token_bytes).tolist() == (lengths - 2).tolist()


def test_no_held_out_documents_when_none_are_asked_for(make_manifest: Any, jsonl: dict[str, Any]) -> None:
    dataset = prepare(make_manifest(jsonl, held_out=0.0))
    assert dataset.held_out(8).tokens.shape == (0, 17)
    summary: Any = dataset.summary()
    assert summary["sources"]["jsonl"]["held_out"]["documents"] == 0
    assert summary["sources"]["jsonl"]["training"]["documents"] == 60


def mixed(jsonl: dict[str, Any], tmp_path: Path) -> list[dict[str, Any]]:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"text": f"OTHER {n} " * 9}) + "\n" for n in range(50)))
    return [
        {"name": "words", "weight": 3.0, "corpus": jsonl},
        {"name": "other", "weight": 1.0, "corpus": {"kind": "jsonl", "files": [str(other)]}},
    ]


def test_a_mix_follows_its_weights(make_manifest: Any, jsonl: dict[str, Any], tmp_path: Path) -> None:
    dataset = prepare(make_manifest(sources=mixed(jsonl, tmp_path)))
    batch = dataset.rows(np.arange(4096))
    assert np.bincount(batch.sources).tolist() == [3072, 1024]
    for row, source in zip(batch.tokens[:200], batch.sources[:200], strict=True):
        assert ("OTHER" in dataset.tokenizer.decode(row.tolist())) == (source == 1)
    held = dataset.held_out(16)
    assert np.bincount(held.sources).tolist() == [12, 4]
    everything = dataset.held_out(None)
    assert np.bincount(everything.sources).tolist() == [source.held_out.rows for source in dataset.sources]
    summary: Any = dataset.summary()
    assert [source["weight"] for source in summary["sources"].values()] == [0.75, 0.25]


def test_the_summary_adds_up(make_manifest: Any, jsonl: dict[str, Any]) -> None:
    dataset = prepare(make_manifest(jsonl))
    documents = documents_of(jsonl, dataset)
    summary: Any = dataset.summary()
    train, held = (summary["sources"]["jsonl"][split] for split in ("training", "held_out"))
    assert train["documents"] + held["documents"] == 60
    assert train["tokens"] + held["tokens"] == sum(map(len, documents))
    assert train["bytes"] + held["bytes"] == sum(len(ids) - 2 for ids in documents)
    assert train["rows"] == -(-(train["tokens"] - 1) // 16)
    padding = (dataset.rows(np.arange(train["rows"])).documents < 0).mean()
    assert train["padding"] == pytest.approx(padding)
    json.dumps(summary)
