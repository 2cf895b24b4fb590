"""Comparisons while and after they run: records, streams, verdicts, and everything that voids them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hydra.errors import ComparisonError
from hydra.manifest import from_tree
from hydra.manifest.comparison import (
    EndRecord,
    Size,
    StartRecord,
    Verdict,
    compare_runs,
    expected_numerics,
    start_record,
    start_violations,
    step_time,
)
from hydra.manifest.root import Manifest
from hydra.manifest.sections import Comparison

METRIC = "eval.bits_per_byte"
TREE: dict[str, Any] = {
    "schema": 1,
    "name": "fair",
    "seeds": [11, 12, 13],
    "data": {"corpus": {"kind": "stdlib"}, "sequence": 64},
    "tokenizer": {"kind": "bytes"},
    "model": {"width": 64, "blocks": [{"mixer": {"kind": "softmax", "heads": 4}, "mlp": {"kind": "swiglu"}}]},
    "optimizer": {"kind": "adamw", "lr": 3e-4},
    "schedule": {"kind": "wsd", "warmup_steps": 2},
    "training": {
        "steps": 10,
        "batch": 4,
        "device": "cpu",
        "determinism": "exact",
        "compile": "none",
        "threads": 2,
        "nonfinite_in_a_row": 1,
        "nonfinite_in_1000": 1,
    },
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
MANIFESTS = [run.manifest for run in from_tree(TREE).runs]
COMPARISON = MANIFESTS[0].comparison
assert COMPARISON is not None
BITS = {
    ("full", 11): 2.0,
    ("full", 12): 2.1,
    ("full", 13): 1.9,
    ("local", 11): 1.8,
    ("local", 12): 1.91,
    ("local", 13): 1.69,
}


def start(manifest: Manifest, **changes: Any) -> StartRecord:
    given_values: dict[str, Any] = {
        "size": Size(1000, 900, 1e6),
        "numerics": expected_numerics(manifest),
        "hardware": {"device": "cpu", "count": 1, "torch": "2.13.0"},
        "ops": {"attention": "verified", "rms_norm": "verified"},
        "commit": "9f2c41d",
        "dirty": False,
    }
    return start_record(manifest, **(given_values | changes))


def end(manifest: Manifest, **changes: Any) -> EndRecord:
    record = start(manifest, **changes.pop("start", {}))
    values: dict[str, Any] = {
        "start": record,
        "finished": True,
        "steps": 10,
        "skipped": 0,
        "tokens": 2560,
        "stream": {10: f"digest of seed {record.seed}"},
        "metrics": {METRIC: BITS[record.arm, record.seed]},
    }
    return EndRecord(**(values | changes))


def verdict(records: list[EndRecord], comparison: Comparison | None = None) -> Verdict:
    assert COMPARISON is not None
    return compare_runs(records, comparison or COMPARISON)


def groups(found: Verdict) -> set[str]:
    assert found.exit_code != 0
    assert found.findings == ()
    with pytest.raises(ComparisonError, match="it is void and has no results"):
        found.table()
    return {violation.group for violation in found.void}


def test_a_valid_comparison_has_a_verdict() -> None:
    found = verdict([end(manifest) for manifest in MANIFESTS])
    assert (found.void, found.exit_code, found.fair) == ((), 0, True)
    (finding,) = found.findings
    assert (finding.arm, finding.baseline, finding.outcome) == ("local", "full", "better")
    assert {seed: round(value, 6) for seed, value in finding.differences.items()} == {11: -0.2, 12: -0.19, 13: -0.21}
    assert finding.interval.mean == pytest.approx(-0.2)
    # Standard deviation 0.01, three seeds, t = 4.302653.
    assert finding.interval.high - finding.interval.mean == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-6)
    assert found.table()[1][-1] == "better"


@pytest.mark.parametrize(
    ("local", "outcome"),
    [
        ((2.2, 2.31, 2.09), "worse"),
        ((1.9, 2.2, 1.95), "not distinguishable"),
        ((2.0, 2.1, 1.9), "not distinguishable"),
        ((1.99, 2.09, 1.89), "better"),
    ],
)
def test_outcomes(local: tuple[float, ...], outcome: str) -> None:
    values = dict(zip((11, 12, 13), local, strict=True))
    records = [
        end(manifest, **({"metrics": {METRIC: values[manifest.seed]}} if manifest.runs.arm == "local" else {}))
        for manifest in MANIFESTS
    ]
    assert verdict(records).findings[0].outcome == outcome


def test_higher_may_be_better() -> None:
    assert COMPARISON is not None
    found = compare_runs([end(manifest) for manifest in MANIFESTS], COMPARISON, {METRIC: "higher"})
    assert found.findings[0].outcome == "worse"


@pytest.mark.parametrize(
    ("changes", "group"),
    [
        ({"finished": False}, "runs"),
        ({"steps": 9}, "budget"),
        ({"tokens": 2559}, "budget"),
        ({"skipped": 1}, "frozen"),
        ({"stream": {10: "another"}}, "data"),
        ({"stream": {}}, "data"),
        ({"stream": {9: "digest of seed 11"}}, "data"),
        ({"metrics": {}}, "evaluation"),
        ({"metrics": {METRIC: math.inf}}, "evaluation"),
        ({"start": {"dirty": True}}, "code"),
        ({"start": {"commit": "another"}}, "code"),
        ({"start": {"hardware": {"device": "cuda"}}}, "hardware"),
        ({"start": {"ops": {"attention": "untested"}}}, "hardware"),
        ({"start": {"numerics": {"compute": "bf16"}}}, "numerics"),
        ({"start": {"size": Size(896, 900, 1e6)}}, "model size"),
    ],
)
def test_one_run_that_is_not_like_the_others_voids_all(changes: dict[str, Any], group: str) -> None:
    if changes.get("metrics") == {METRIC: math.inf}:
        # The record itself refuses what is not finite.
        with pytest.raises(ValueError, match="finite"):
            end(MANIFESTS[0], **changes)
        return
    records = [end(manifest, **(changes if index == 0 else {})) for index, manifest in enumerate(MANIFESTS)]
    if group == "model size":
        records = [end(m, **(changes if m.runs.arm == "local" else {})) for m in MANIFESTS]
    assert group in groups(verdict(records))


def test_a_missing_run_voids_all() -> None:
    found = verdict([end(manifest) for manifest in MANIFESTS[1:]])
    assert groups(found) == {"runs"}
    assert found.void[0].what == "missing: full with seed 11"


def test_no_runs_at_all_are_void() -> None:
    assert "runs" in groups(verdict([]))


def test_a_run_given_twice_voids_all() -> None:
    assert "given more than once" in verdict([end(manifest) for manifest in [*MANIFESTS, MANIFESTS[0]]]).void[0].what


def test_runs_of_another_comparison_void_all() -> None:
    other = [run.manifest for run in from_tree(TREE | {"training": TREE["training"] | {"steps": 20}}).runs]
    assert "manifest" in groups(verdict([end(other[0]), *(end(manifest) for manifest in MANIFESTS[1:])]))


def test_all_reasons_are_given_at_once() -> None:
    records = [
        end(manifest, finished=index > 0, start={"dirty": index == 1}) for index, manifest in enumerate(MANIFESTS)
    ]
    assert groups(verdict(records)) == {"runs", "code"}


def test_without_a_claim_only_completeness_counts() -> None:
    assert COMPARISON is not None
    loose = COMPARISON.model_copy(update={"apples_to_apples": False})
    records = [end(manifest, stream={}, start={"dirty": True}) for manifest in MANIFESTS]
    found = verdict(records, loose)
    assert (found.exit_code, found.fair, found.findings[0].outcome) == (0, False, "better")
    assert groups(verdict(records[1:], loose)) == {"runs"}


def test_records_survive_json() -> None:
    record = end(MANIFESTS[0], step_time=step_time([5.0] * 20 + [1.0, 2.0, 3.0]), memory_bytes=5)
    assert EndRecord.model_validate_json(record.model_dump_json()) == record


# Start


def test_a_clean_start() -> None:
    assert all(start_violations(manifest, start(manifest)) == () for manifest in MANIFESTS)
    assert len({start(manifest).shared_hash for manifest in MANIFESTS}) == 1
    assert len({start(manifest).experiment_hash for manifest in MANIFESTS}) == 6


@pytest.mark.parametrize(
    ("changes", "group"),
    [
        ({"dirty": True}, "code"),
        ({"ops": {"attention": "verified", "rms_norm": "emulated"}}, "hardware"),
        ({"numerics": {"compute": "fp32", "tf32": True, "determinism": "exact", "compile": "none"}}, "numerics"),
        ({"numerics": {}}, "numerics"),
    ],
)
def test_a_start_that_voids_the_run(changes: dict[str, Any], group: str) -> None:
    (violation,) = start_violations(MANIFESTS[0], start(MANIFESTS[0], **changes))
    assert violation.group == group


def test_a_run_outside_fair_comparisons_may_start_as_it_likes() -> None:
    plain = from_tree({key: value for key, value in TREE.items() if key not in ("comparison", "runs", "seeds")})
    assert start_violations(plain.runs[0].manifest, start(MANIFESTS[0], dirty=True)) == ()
