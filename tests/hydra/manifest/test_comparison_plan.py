"""`apples_to_apples: true` before anything starts: what may differ, what is frozen, all told at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hydra.errors import ComparisonError, ManifestError
from hydra.manifest import Experiment, from_tree
from hydra.manifest.comparison import Size, check_sizes, plan_violations
from hydra.manifest.identity import resolved
from hydra.manifest.root import Manifest
from hydra.manifest.sections import Tolerance

FROZEN: dict[str, Any] = {
    "steps": 10,
    "batch": 4,
    "device": "cpu",
    "determinism": "exact",
    "compile": "none",
    "threads": 2,
    "nonfinite_in_a_row": 1,
    "nonfinite_in_1000": 1,
}
FAIR: dict[str, Any] = {
    "schema": 1,
    "name": "fair",
    "seeds": [11, 12, 13],
    "data": {"corpus": {"kind": "stdlib"}, "sequence": 64},
    "tokenizer": {"kind": "bytes"},
    "model": {
        "width": 64,
        "context": 64,
        "blocks": [{"mixer": {"kind": "softmax", "heads": 4}, "mlp": {"kind": "swiglu"}}],
    },
    "optimizer": {"kind": "adamw", "lr": 3e-4},
    "schedule": {"kind": "wsd", "warmup_steps": 2},
    "training": FROZEN,
    "precision": {"compute": "fp32"},
    "parallel": {"data": 1},
    "runs": {
        "arms": {
            "full": {},
            "local": {
                "model": {
                    "blocks": [{"mixer": {"kind": "softmax", "heads": 4, "window": 16}, "mlp": {"kind": "swiglu"}}]
                }
            },
        }
    },
    "comparison": {"apples_to_apples": True, "arms": ["full", "local"], "varies": ["model.blocks"]},
}
SAME = Size(1000, 900, 1e6)


@pytest.fixture
def fair() -> dict[str, Any]:
    return copy.deepcopy(FAIR)


def unchecked(tree: dict[str, Any]) -> Experiment:
    """The experiment as lowered, so that its violations can be looked at one by one."""
    tree = copy.deepcopy(tree)
    tree["comparison"]["apples_to_apples"] = False
    runs = from_tree(tree).runs
    fixed = [run.manifest.comparison for run in runs]
    assert fixed[0] is not None
    claimed = fixed[0].model_copy(update={"apples_to_apples": True})
    return Experiment(
        tuple(type(run)(run.manifest.model_copy(update={"comparison": claimed}), run.origins, run.arm) for run in runs),
        "",
        (),
    )


def told(tree: dict[str, Any]) -> list[tuple[str, str]]:
    """(group, sentence) of every violation, which is also what loading raises."""
    found = plan_violations(unchecked(tree))
    if found:
        with pytest.raises(ComparisonError) as caught:
            from_tree(tree)
        for violation in found:
            assert violation.what in str(caught.value)
    else:
        from_tree(tree)
    return [(violation.group, violation.what) for violation in found]


def test_a_fair_comparison_makes_all_its_runs(fair: dict[str, Any]) -> None:
    assert told(fair) == []
    experiment = from_tree(fair)
    assert [run.manifest.name for run in experiment.runs] == [
        f"fair-{arm}-s{seed}" for arm in ("full", "local") for seed in (11, 12, 13)
    ]
    assert {run.manifest.comparison.seeds for run in experiment.runs if run.manifest.comparison} == {(11, 12, 13)}


def test_the_regression_that_must_be_caught_whole(fair: dict[str, Any]) -> None:
    """Learning rate 3e-4 unclipped against 2e-4 clipped at 1.0, 10.4% fewer parameters, one seed, no held-out data."""
    fair["seeds"] = 11
    fair["data"]["held_out"] = 0
    fair["training"] = FROZEN | {"clip": None}
    fair["runs"]["arms"]["local"] |= {"optimizer": {"lr": 2e-4}, "training": {"clip": 1.0}}
    sizes = {"fair-full": Size(1000, 900, 1e6), "fair-local": Size(896, 900, 1e6)}

    def measure(manifest: Manifest) -> Size:
        return sizes[manifest.name]

    with pytest.raises(ComparisonError) as caught:
        from_tree(fair, measure=measure)
    message = str(caught.value)
    assert "unfair in 4 ways; nothing was started" in message
    for line in (
        "optimiser: settings differ that must be equal in every arm",
        "      optimizer.0.lr  0.0003  0.0002",
        "      training.clip   null    1.0",
        "model size: arms differ: parameters 10.4% (allowed 1%)",
        "      parameters  1000  896",
        "seeds: 1 given (11), at least 3 needed",
        "evaluation: there is no held-out data",
    ):
        assert line in message
    assert caught.value.exit_code != 0


@pytest.mark.parametrize(
    ("changes", "group", "path"),
    [
        ({"data": {"sequence": 32}}, "data", "data.sequence"),
        ({"data": {"packing": "pad"}}, "data", "data.packing"),
        ({"data": {"corpus": {"kind": "synthetic", "tokens": 9}}}, "data", "data.sources.0.corpus.kind"),
        ({"tokenizer": {"kind": "ids", "vocabulary": 9}}, "data", "tokenizer.kind"),
        ({"training": {"steps": 20}}, "budget", "training.steps"),
        ({"training": {"batch": 8}}, "budget", "training.batch"),
        ({"optimizer": {"weight_decay": 0.2}}, "optimiser", "optimizer.0.weight_decay"),
        ({"schedule": {"min_ratio": 0.1}}, "optimiser", "schedule.min_ratio"),
        ({"training": {"clip": 2.0}}, "optimiser", "training.clip"),
        ({"precision": {"tf32": True}}, "numerics", "precision.tf32"),
        ({"training": {"determinism": "fast"}}, "numerics", "training.determinism"),
        ({"kernels": {"pin": {"rms_norm": "reference"}}}, "numerics", "kernels.pin.rms_norm"),
        ({"parallel": {"data": 2}}, "hardware", "parallel.data"),
        ({"training": {"activation_checkpointing": "full"}}, "hardware", "training.activation_checkpointing"),
        ({"evaluation": {"every": 5}}, "evaluation", "evaluation.every"),
        ({"checkpoint": {"keep_best": 1}}, "evaluation", "checkpoint.keep_best"),
        ({"model": {"width": 128}}, "model", "model.width"),
        ({"notes": "an arm"}, "other", "notes"),
    ],
)
def test_what_must_be_equal(fair: dict[str, Any], changes: dict[str, Any], group: str, path: str) -> None:
    fair["runs"]["arms"]["local"] |= changes
    found = plan_violations(unchecked(fair))
    assert [violation.group for violation in found if violation.group not in ("frozen",)] == [group]
    rows = [row.path for violation in found for row in violation.rows]
    assert path in rows
    told(fair)


def test_varies_reaches_what_it_names_and_nothing_beside_it(fair: dict[str, Any]) -> None:
    fair["comparison"]["varies"] = ["model.blocks.*.mixer.window"]
    assert told(fair) == []
    fair["comparison"]["varies"] = ["model.blocks.*.mlp"]
    assert [group for group, _ in told(fair)] == ["model"]


@pytest.mark.parametrize(
    ("varies", "expected"),
    [
        ("model.blokcs", "no arm has such a setting"),
        ("model..blocks", "no arm has such a setting"),
        ("optimizer", "(optimiser), and may only name settings of the model"),
        ("training", "(budget, hardware, numerics, optimiser, other)"),
        ("data.sources", "(data)"),
        ("seeds", "(seeds)"),
        ("precision.compute", "(numerics)"),
        ("*", "may only name settings of the model"),
    ],
)
def test_varies_names_the_model_alone(fair: dict[str, Any], varies: str, expected: str) -> None:
    fair["comparison"]["varies"] = ["model.blocks", varies]
    assert any(group == "paths" and expected in what for group, what in told(fair))


def test_tuned_settings_may_differ_within_the_space(fair: dict[str, Any]) -> None:
    fair["runs"]["arms"]["local"]["optimizer"] = {"lr": 2e-4}
    fair["comparison"]["tuned"] = {"space": {"optimizer.0.lr": [2e-4, 3e-4]}, "budget": 2}
    assert told(fair) == []


@pytest.mark.parametrize(
    ("tuned", "expected"),
    [
        ({"space": {"optimizer.0.lr": [1e-4, 3e-4]}, "budget": 2}, "settings differ that must be equal"),
        ({"space": {"optimizer.0.epsilon": [1e-8]}, "budget": 1}, "settings differ that must be equal"),
        (
            {"space": {"optimizer.0.lr": [2e-4, 3e-4], "model.width": [64.0]}, "budget": 2},
            "only name settings of the optimiser",
        ),
        (
            {"space": {"optimizer.0.lr": [2e-4, 3e-4], "optimizer.0.lrr": [1.0]}, "budget": 2},
            "no arm has such a setting",
        ),
        ({"space": {"optimizer.0.lr": [2e-4, 3e-4]}, "budget": 3}, "the space has 2 points"),
    ],
)
def test_an_unequal_search(fair: dict[str, Any], tuned: dict[str, Any], expected: str) -> None:
    fair["runs"]["arms"]["local"]["optimizer"] = {"lr": 2e-4}
    fair["comparison"]["tuned"] = tuned
    assert any(expected in what for _, what in told(fair))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "device", "auto"),
        ("training", "determinism", "auto"),
        ("training", "compile", "auto"),
        ("training", "threads", "auto"),
        ("precision", "compute", "auto"),
        ("parallel", "data", "auto"),
        ("training", "nonfinite_in_a_row", 5),
        ("training", "nonfinite_in_1000", 20),
        ("kernels", "accept", ["verified", "untested"]),
    ],
)
def test_nothing_is_automatic_or_reactive(fair: dict[str, Any], section: str, key: str, value: object) -> None:
    fair[section] = dict(fair.get(section, {})) | {key: value}
    ((group, what),) = told(fair)
    assert group == "frozen"
    (violation,) = plan_violations(unchecked(fair))
    assert [row.path for row in violation.rows] == [f"{section}.{key}"]
    assert "written out" in what or "must be" in what


def test_a_text_that_reads_auto_is_no_choice(fair: dict[str, Any]) -> None:
    fair |= {"name": "auto", "notes": "auto"}
    fair["evaluation"] = {"samples": {"prompts": ["auto"]}}
    assert told(fair) == []


@pytest.mark.parametrize("seeds", [5, [5], [5, 6]])
def test_seeds_are_at_least_three(fair: dict[str, Any], seeds: object) -> None:
    fair["seeds"] = seeds
    assert [group for group, _ in told(fair)] == ["seeds"]


def test_sizes_within_tolerance() -> None:
    tolerance = Tolerance()
    assert check_sizes({"a": SAME, "b": Size(991, 892, 0.981e6)}, tolerance) == ()
    assert check_sizes({"a": SAME, "b": SAME, "c": SAME}, Tolerance(params=0.0, flops=0.0)) == ()
    (violation,) = check_sizes({"a": SAME, "b": Size(980, 900, 0.97e6)}, tolerance)
    assert [row.path for row in violation.rows] == ["parameters", "flops"]
    (violation,) = check_sizes({"a": SAME, "b": Size(995, 880, 1e6)}, tolerance)
    assert [row.path for row in violation.rows] == ["non_embedding"]


def test_no_claim_no_check(fair: dict[str, Any]) -> None:
    fair["comparison"]["apples_to_apples"] = False
    fair |= {"seeds": [1, 2], "training": {"steps": 10, "batch": 4}}
    assert len(from_tree(fair).runs) == 4


def test_one_run_of_a_comparison_loads_on_its_own(fair: dict[str, Any]) -> None:
    run = from_tree(fair).runs[4]
    (again,) = from_tree(resolved(run.manifest)).runs
    assert (again.manifest, again.arm) == (run.manifest, "local")


def test_an_arm_outside_the_comparison_is_left_alone(fair: dict[str, Any]) -> None:
    fair["runs"]["arms"]["other"] = {"training": {"steps": 20}}
    assert len(from_tree(fair).runs) == 9


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ({"arms": ["full", "locl"]}, "did you mean 'local'?"),
        ({"arms": ["full"]}, "comparison.arms needs at least 2 items"),
        ({"arms": ["full", "full"]}, "comparison.arms names one twice"),
        ({"arms": ["full", 5]}, "comparison.arms.1 must be text"),
        ({"varies": []}, "comparison.varies needs at least 1 item"),
        ({"seeds": [1, 2, 3]}, "seeds has 11, and comparison.seeds=[1, 2, 3] does not"),
        ({"apples_to_apples": "yes"}, "comparison.apples_to_apples must be true or false"),
        ({"tuned": {"space": {}, "budget": 1}}, "comparison.tuned.space"),
    ],
)
def test_a_malformed_comparison(fair: dict[str, Any], comparison: dict[str, Any], expected: str) -> None:
    fair["comparison"] |= comparison
    with pytest.raises(ManifestError) as caught:
        from_tree(fair)
    assert expected in str(caught.value)


def test_a_comparison_without_arms(fair: dict[str, Any]) -> None:
    del fair["runs"]
    with pytest.raises(ManifestError, match=r"runs\.arms defines no arms to compare"):
        from_tree(fair)
