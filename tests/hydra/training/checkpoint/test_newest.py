"""Which checkpoint a resume takes: the newest that verifies. What did not is told, skipped and kept."""

from __future__ import annotations

import json
import shutil

import pytest

from hydra.training.checkpoint import Checkpoints


def test_none_at_all(store, tmp_path) -> None:
    assert store.newest_verified() == (None, [])
    assert Checkpoints(tmp_path / "nowhere").newest_verified() == (None, [])
    assert Checkpoints(tmp_path / "nowhere").steps() == []


def test_the_newest_sound_one(store, save) -> None:
    for step in (1, 2, 10):
        save(step)
    assert store.newest_verified() == (10, [])


def test_a_torn_newest_is_reported_skipped_and_kept(store, save, kit) -> None:
    save(1)
    save(2)
    kit.flip(save(3) / "train.json")
    step, rejected = store.newest_verified()
    assert step == 2
    assert [(found.step, found.problems) for found in rejected] == [
        (3, ("train.json has another SHA-256 than when it was written",))
    ]
    assert store.steps() == [1, 2, 3]
    assert store.latest() == 2, "`latest` never names one that did not verify"


def test_all_torn(store, save, kit) -> None:
    for step in (1, 2):
        kit.flip(save(step) / "layout.json")
    step, rejected = store.newest_verified()
    assert step is None
    assert [found.step for found in rejected] == [2, 1]
    assert store.latest() is None


def test_one_without_complete_is_torn(store, save) -> None:
    save(1)
    (save(2) / "COMPLETE.json").unlink()
    step, rejected = store.newest_verified()
    assert (step, [found.step for found in rejected]) == (1, [2])


@pytest.mark.parametrize("content", ["step-1\n", "step-99\n", "garbage", None])
def test_a_wrong_latest_is_put_right(store, save, content) -> None:
    save(1)
    save(2)
    pointer = store.directory / "latest"
    pointer.unlink() if content is None else pointer.write_text(content)
    assert store.newest_verified() == (2, [])
    assert store.latest() == 2


def test_a_branch_that_was_left_is_passed_over(store, save) -> None:
    for step in (5, 10, 12):
        save(step)
    # Saved by attempt 1. Attempt 2 went back to 5 and died before it saved anything.
    assert store.newest_verified(resumed=(2, 5)) == (5, [])
    assert store.newest_verified(resumed=(2, 12)) == (12, [])
    assert store.newest_verified(resumed=(1, 0)) == (12, [])
    assert store.newest_verified(resumed=(2, 4)) == (None, [])


def test_readers_change_nothing(store, save, kit) -> None:
    save(1)
    kit.flip(save(2) / "train.json")
    (store.directory / "latest").write_text("step-2\n")
    reader = Checkpoints(store.directory)
    before = sorted(path.name for path in store.directory.rglob("*"))
    assert reader.newest_verified()[0] == 1
    assert reader.latest() == 2
    assert sorted(path.name for path in store.directory.rglob("*")) == before


def test_after_a_resume_from_an_earlier_step_the_new_branch_is_the_newest(make_store, tensors) -> None:
    store = make_store()
    for step in (100, 200, 300):
        store.save(step, tensors, {"attempt": 1})
    store.close()
    store = make_store(attempt=2)
    store.save(200, tensors, {"attempt": 2})
    store.wait()
    assert store.newest_verified() == (200, [])
    assert store.read_train(200) == {"attempt": 2}
    assert store.steps() == [100, 200, 300]
    assert store.latest() == 200


def test_a_torn_one_of_the_same_step_is_put_aside(store, save, kit) -> None:
    save(1)
    kit.flip(save(2) / "train.json")
    assert store.newest_verified()[0] == 1
    save(2)
    assert store.newest_verified() == (2, [])
    assert (store.directory / "rejected-step-2-1" / "train.json").is_file()
    kit.flip(store.directory / "step-2" / "train.json")
    store.newest_verified()
    save(2)
    assert sorted(path.name for path in store.directory.glob("rejected-*")) == [
        "rejected-step-2-1",
        "rejected-step-2-2",
    ]
    assert store.steps() == [1, 2]


def test_a_sound_one_of_the_same_step_is_replaced(store, save, tensors, kit) -> None:
    save(5)
    other = kit.make_tensors(seed=1)
    save(5, other)
    assert kit.bits(store.read_tensors(5)) == kit.bits(other)
    assert {path.name for path in store.directory.iterdir()} == {"step-5", "latest", ".lock"}


def test_folders_that_only_look_like_checkpoints(store, save) -> None:
    save(3)
    for name in ("step-04", "step-x", "step-5.old", "step--6", "astep-7", "step-8\n"):
        (store.directory / name).mkdir()
    (store.directory / "step-9").write_text("a file")
    assert store.steps() == [3]
    assert store.newest_verified() == (3, [])


def test_a_copied_checkpoint_of_another_step_is_torn(store, save) -> None:
    shutil.copytree(save(1), store.directory / "step-2")
    step, rejected = store.newest_verified()
    assert step == 1
    assert "belongs to step 1" in rejected[0].problems[0]


def test_serials_count_up(store, save) -> None:
    serials = [json.loads((save(step) / "COMPLETE.json").read_text())["serial"] for step in (7, 3, 3)]
    assert serials == [1, 2, 2], "the second of step 3 replaces the first, and stays above step 7"
