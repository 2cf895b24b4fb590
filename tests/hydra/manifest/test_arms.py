"""Seeds and arms: one manifest becomes several runs, each explicit and each its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra.manifest import from_tree, load

Write = Callable[[str], Path]
Refusal = Callable[[dict[str, Any]], str]


def block(**more: object) -> dict[str, Any]:
    return {"mixer": {"kind": "softmax", "heads": 4}, "mlp": {"kind": "swiglu"}} | more


def test_seeds_make_runs(tree: dict[str, Any]) -> None:
    runs = from_tree(tree | {"seeds": [11, 12]}).runs
    assert [(run.manifest.name, run.manifest.seed) for run in runs] == [("small-s11", 11), ("small-s12", 12)]


@pytest.mark.parametrize("seeds", [5, [5]])
def test_one_seed_leaves_the_name_alone(tree: dict[str, Any], seeds: object) -> None:
    (run,) = from_tree(tree | {"seeds": seeds}).runs
    assert (run.manifest.name, run.manifest.seed) == ("small", 5)


def test_seeds_may_be_variables(tree: dict[str, Any]) -> None:
    runs = from_tree(tree | {"vars": {"a": 3, "b": 4}, "seeds": ["${a}", "${b}"]}).runs
    assert [run.manifest.seed for run in runs] == [3, 4]


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ([1, 1], "seeds repeats a value"),
        ([], "seeds needs at least 1 item"),
        ([1, "x"], "seeds.1 must be an integer"),
        ([-1], "seeds.0 must be greater than or equal to 0"),
        (True, "seeds must be a list"),
        ("x", "seeds must be a list"),
        (None, "seeds must be a list"),
    ],
)
def test_seeds_that_cannot_be(refusal_of_tree: Refusal, tree: dict[str, Any], seeds: object, expected: str) -> None:
    assert expected in refusal_of_tree(tree | {"seeds": seeds})


def arms(tree: dict[str, Any], **changes: object) -> list[Any]:
    runs = from_tree(tree | {"runs": {"arms": {"base": {}, "other": changes}}}).runs
    assert [(run.arm, run.manifest.runs.arm, run.manifest.name) for run in runs] == [
        ("base", "base", "small-base"),
        ("other", "other", "small-other"),
    ]
    return [run.manifest for run in runs]


def test_arms_merge_mappings(tree: dict[str, Any]) -> None:
    base, other = arms(tree, training={"steps": 20})
    assert (base.training.steps, other.training.steps, other.training.batch) == (10, 20, 4)


def test_arms_replace_lists_and_other_kinds(tree: dict[str, Any]) -> None:
    base, other = arms(tree, schedule={"kind": "constant"}, model={"blocks": [block()]})
    assert (len(base.model.blocks), len(other.model.blocks)) == (2, 1)
    assert (base.schedule.warmup_steps, other.schedule.warmup_steps) == (2, 0)


def test_an_arm_of_another_kind_does_not_inherit_settings(refusal_of_tree: Refusal, tree: dict[str, Any]) -> None:
    # The default of 100 warm-up steps exceeds 10 steps, which shows that the base's 2 were not taken over.
    tree["runs"] = {"arms": {"base": {}, "other": {"schedule": {"kind": "cosine"}}}}
    assert "warmup_steps=100 exceeds" in refusal_of_tree(tree)


def test_arms_merge_the_same_kind(tree: dict[str, Any]) -> None:
    _, other = arms(tree, schedule={"kind": "wsd", "min_ratio": 0.1})
    assert (other.schedule.warmup_steps, other.schedule.min_ratio) == (2, 0.1)


def test_an_arm_with_a_preset_replaces_the_model(tree: dict[str, Any]) -> None:
    _, other = arms(tree, model={"preset": "4m"})
    tree["model"] = {"preset": "4m"}
    assert other.model == from_tree(tree).runs[0].manifest.model


def test_an_arm_may_spell_the_corpus_otherwise(tree: dict[str, Any]) -> None:
    _, other = arms(tree, data={"sources": [{"name": "noise", "corpus": {"kind": "synthetic", "tokens": 9}}]})
    assert [source.name for source in other.data.sources] == ["noise"]
    assert other.data.sequence == 64


def test_arms_do_not_touch_each_other(tree: dict[str, Any]) -> None:
    tree["runs"] = {"arms": {"a": {"training": {"steps": 20}}, "b": {"training": {"batch": 8}}}}
    first, second = (run.manifest.training for run in from_tree(tree).runs)
    assert (first.steps, first.batch, second.steps, second.batch) == (20, 4, 10, 8)


def test_an_arm_points_at_its_own_lines(write: Write, small: str) -> None:
    text = small + "runs:\n  arms:\n    a: {}\n    b:\n      training:\n        steps: 20\n"
    assert load(write(text)).runs[1].origins["training.steps"].endswith("m.yaml:20")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"a": 5}, "runs.arms.a is 5, not a mapping"),
        ({"a": None}, "runs.arms.a is null, not a mapping"),
        ({"A b": {}}, "runs.arms has an arm named 'A b'"),
        ({"": {}}, "runs.arms has an arm named ''"),
        ({"a": {"seeds": [1]}}, "runs.arms.a changes 'seeds'"),
        ({"a": {"runs": {}}}, "runs.arms.a changes 'runs'"),
        ({"a": {"traning": {}}}, "did you mean 'training'?"),
        (5, "runs.arms must be a mapping"),
        ([], "runs.arms must be a mapping"),
    ],
)
def test_arms_that_cannot_be(refusal_of_tree: Refusal, tree: dict[str, Any], found: object, expected: str) -> None:
    assert expected in refusal_of_tree(tree | {"runs": {"arms": found}})


def test_arm_is_not_written_beside_arms(refusal_of_tree: Refusal, tree: dict[str, Any]) -> None:
    assert "both 'arms' and 'arm'" in refusal_of_tree(tree | {"runs": {"arms": {"a": {}}, "arm": "a"}})


def test_a_name_that_grows_too_long_is_explained(refusal_of_tree: Refusal, tree: dict[str, Any]) -> None:
    message = refusal_of_tree(tree | {"name": "n" * 38, "seeds": [11, 12]})
    assert "name must be lower-case letters, digits and hyphens, 40 at most" in message
