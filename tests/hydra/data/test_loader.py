"""The loader: the right rows for each rank, ahead of time, and errors where they can be seen."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from hydra.data import Dataset, Loader, prepare
from hydra.errors import DataError, ManifestError


@pytest.fixture
def dataset(make_manifest: Any, jsonl: dict[str, Any]) -> Dataset:
    return prepare(make_manifest(jsonl))


def take(dataset: Dataset, world: int, rank: int, first: int, steps: int, micro_batch: int = 2) -> list[Any]:
    with Loader(dataset, 48, micro_batch, rank, world, first, 2) as loader:
        return [next(loader) for _ in range(steps)]


@pytest.mark.parametrize("world", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("first", [0, 5])
def test_all_ranks_together_read_the_global_batch(dataset: Dataset, world: int, first: int) -> None:
    by_rank = [take(dataset, world, rank, first, 2) for rank in range(world)]
    for offset in range(2):
        batches = [steps[offset] for steps in by_rank]
        step = first + offset
        expected = dataset.rows(np.arange(step * 48, (step + 1) * 48))
        samples = torch.stack([batch.samples for batch in batches], dim=1).reshape(-1)
        tokens = torch.stack([batch.tokens for batch in batches], dim=1).reshape(48, 17)
        assert torch.equal(samples, torch.from_numpy(expected.samples))
        assert torch.equal(tokens, torch.from_numpy(expected.tokens))
        for batch in batches:
            assert batch.step == step
            assert batch.targets_global == expected.valid.sum()
            assert batch.tokens.shape == batch.positions.shape == batch.documents.shape == (24 // world, 2, 17)
            assert batch.sources.shape == batch.samples.shape == (24 // world, 2)
            assert (batch.tokens.dtype, batch.samples.dtype) == (torch.int32, torch.int64)


def test_the_sample_of_a_slot_is_the_documented_one(dataset: Dataset) -> None:
    world, rank, width = 3, 1, 4
    (batch,) = take(dataset, world, rank, 7, 1, micro_batch=width)
    for a in range(4):
        for i in range(width):
            assert batch.samples[a, i] == 7 * 48 + (a * world + rank) * width + i


def test_a_resume_continues_the_sequence(dataset: Dataset) -> None:
    whole = take(dataset, 1, 0, 0, 6)
    resumed = take(dataset, 1, 0, 4, 2)
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(whole[4:], resumed, strict=True))


def test_steps_are_prepared_ahead_and_no_further(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    reached = threading.Event()
    original = Dataset.rows

    def rows(self: Dataset, samples: Any) -> Any:
        read.append(int(samples[0]) // 48)
        if len(read) == 4:
            reached.set()
        return original(self, samples)

    monkeypatch.setattr(Dataset, "rows", rows)
    with Loader(dataset, 48, 2, 0, 1, 10, 3) as loader:
        assert next(loader).step == 10
        assert reached.wait(60)
    assert read == [10, 11, 12, 13]


def test_an_error_while_reading_reaches_the_consumer(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Dataset.rows

    def rows(self: Dataset, samples: Any) -> Any:
        if samples[0] >= 2 * 48:
            raise DataError("the disk is gone", why="w", fix="f", example="e")
        return original(self, samples)

    monkeypatch.setattr(Dataset, "rows", rows)
    with Loader(dataset, 48, 2, 0, 1, 0, 2) as loader:
        assert [next(loader).step, next(loader).step] == [0, 1]
        with pytest.raises(DataError, match="the disk is gone"):
            next(loader)


def test_close_ends_the_thread_and_the_iteration(dataset: Dataset) -> None:
    before = threading.active_count()
    loader = Loader(dataset, 48, 2, 0, 1, 0, 4)
    next(loader)
    assert threading.active_count() == before + 1
    loader.close()
    loader.close()
    assert threading.active_count() == before
    with pytest.raises(StopIteration):
        next(loader)


def test_a_batch_that_ranks_cannot_share_is_an_error(dataset: Dataset) -> None:
    with pytest.raises(
        ManifestError, match=r"training.batch=48 is no multiple of 5 ranks times .*micro_batch=2"
    ) as caught:
        Loader(dataset, 48, 2, 0, 5, 0, 2)
    assert caught.value.example == "--set training.batch=50"
