"""Which checkpoints stay, as a pure rule and on the disk."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.manifest.sections import Checkpoint
from hydra.training.checkpoint.retention import Entry, best, kept


def policy(**changes: int) -> Checkpoint:
    return Checkpoint.model_validate({"keep_last": 1, "keep_best": 0, **changes})


def row(*metrics: float | None) -> list[Entry]:
    """Steps 100, 200, ... in the order they were saved."""
    return [Entry(100 * i, i, metric) for i, metric in enumerate(metrics, 1)]


def test_the_newest_stay() -> None:
    assert kept(row(None, None, None, None), policy(keep_last=2)) == {300, 400}


def test_multiples_stay() -> None:
    assert kept(row(*[None] * 7), policy(keep_every=300)) == {300, 600, 700}


def test_the_best_stay_and_unmeasured_ones_do_not_count() -> None:
    assert kept(row(2.0, None, 1.0, 1.5, None), policy(keep_best=2)) == {300, 400, 500}


def test_best_is_the_lowest_and_the_newest_of_equals() -> None:
    assert best(row(2.0, 1.0, 1.0, None)) == 300
    assert best(row(None)) is None


def test_newest_means_last_saved_not_highest_step() -> None:
    entries = [Entry(100, 4, None), Entry(200, 2, None), Entry(300, 3, None)]
    assert kept(entries, policy(keep_last=2)) == {100, 300}


entries = st.lists(st.tuples(st.none() | st.floats(0, 10), st.integers(0, 50)), min_size=1, max_size=12).map(
    lambda rows: [Entry(step, serial, metric) for serial, (step, metric) in enumerate({s: m for m, s in rows}.items())]
)


@given(entries, st.integers(1, 4), st.integers(0, 10), st.integers(0, 4))
def test_the_newest_and_the_best_always_stay(found, last, every, good) -> None:
    stay = kept(found, policy(keep_last=last, keep_every=every, keep_best=good))
    assert stay <= {entry.step for entry in found}
    assert max(found, key=lambda entry: entry.serial).step in stay
    if good and best(found) is not None:
        assert best(found) in stay
    if not every:
        assert len(stay) <= last + good


def test_on_the_disk(make_store, tensors) -> None:
    store = make_store(keep_last=2, keep_every=40, keep_best=1)
    metrics = {10: 3.0, 20: 1.0, 30: 2.0, 40: None, 50: 2.5, 60: math.nan}
    removed = []
    for step, metric in metrics.items():
        store.save(step, tensors, {}, metric=metric)
        [result] = store.wait()
        removed += result.removed
    assert store.steps() == [20, 40, 50, 60]
    assert removed == [10, 30]
    assert (store.latest(), store.best()) == (60, 20)
    assert all(store.verify(step).ok for step in store.steps())
    assert store.complete(60).metric is None
    assert not [path for path in store.directory.iterdir() if path.name.startswith(".trash")]


def test_the_list_is_rebuilt_from_the_disk(make_store, tensors) -> None:
    """A new process knows nothing but what is there."""
    store = make_store(keep_last=2, keep_best=1)
    for step, metric in ((1, 1.0), (2, 2.0), (3, 3.0)):
        store.save(step, tensors, {}, metric=metric)
    store.close()
    store = make_store(attempt=2, keep_last=2, keep_best=1)
    store.save(4, tensors, {}, metric=4.0)
    [result] = store.wait()
    assert result.removed == (2,)
    assert store.steps() == [1, 3, 4]
    assert store.best() == 1


def test_nothing_is_removed_when_the_save_fails(make_store, tensors, kit) -> None:
    store = make_store(keep_last=1)
    store.save(1, tensors, {})
    store.wait()
    store.save(2, tensors, {}, tokenizer=store.directory / "does-not-exist")
    [failure] = store.wait()
    assert "No such file" in failure.reason
    assert store.steps() == [1]
    assert store.latest() == 1


def test_best_disappears_with_its_last_measured_checkpoint(make_store, tensors) -> None:
    store = make_store(keep_last=1, keep_best=0)
    store.save(1, tensors, {}, metric=1.0)
    store.wait()
    assert store.best() == 1
    store.save(2, tensors, {})
    store.wait()
    assert store.best() is None
    assert not (store.directory / "best").exists()


def test_an_unreadable_checkpoint_is_neither_counted_nor_removed(make_store, tensors) -> None:
    store = make_store(keep_last=1)
    store.save(1, tensors, {})
    store.wait()
    (store.directory / "step-1" / "COMPLETE.json").write_text("{")
    store.save(2, tensors, {})
    store.save(3, tensors, {})
    assert [result.removed for result in store.wait()] == [(), (2,)]
    assert store.steps() == [1, 3]


@pytest.mark.parametrize("line", ["step-7", "step-7\n", "step-007\n", "../step-7\n", ""])
def test_pointers_are_read_strictly(store, save, line: str) -> None:
    from hydra.errors import CheckpointError

    (store.directory / "latest").write_text(line)
    if line.strip() == "step-7":
        assert store.latest() == 7
    else:
        with pytest.raises(CheckpointError, match="does not name a checkpoint"):
            store.latest()


def test_complete_is_where_the_metric_lives(save) -> None:
    assert json.loads((save(1, metric=1.25) / "COMPLETE.json").read_text())["metric"] == 1.25
