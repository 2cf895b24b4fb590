"""Hashes and differences: equal exactly when the manifests are."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hydra.manifest import canonical_json, difference, experiment_hash, from_tree, manifest_hash
from hydra.manifest.identity import ABSENT, OUTSIDE_EXPERIMENT, resolved

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.sampled_from(["0", "a.b", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(TEXT | st.sampled_from(["a", "a.b", "0"]), JSON, max_size=3)


@given(JSON)
def test_canonical_json_round_trips(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    text.encode("utf-8")


@given(MAPPINGS, MAPPINGS)
def test_a_difference_is_empty_exactly_for_equal_canonical_json(first: dict[str, Any], second: dict[str, Any]) -> None:
    same = canonical_json(first) == canonical_json(second)
    # Two absent containers of another kind, {} and [], differ as leaves do.
    assert (difference(first, second) == {}) == same


@given(MAPPINGS, MAPPINGS)
def test_a_difference_read_backwards_swaps_its_sides(first: dict[str, Any], second: dict[str, Any]) -> None:
    backwards = {path: (after, before) for path, (before, after) in difference(second, first).items()}
    assert canonical_json(difference(first, second)) == canonical_json(backwards)


def test_a_difference_names_paths_and_values() -> None:
    found = difference({"a": {"b": 1, "c": [1, 2]}, "d": True}, {"a": {"b": 1.0, "c": [1]}, "d": 1})
    assert found == {"a.b": (1, 1.0), "a.c.1": (2, ABSENT), "d": (True, 1)}
    assert difference({"a.b": 1}, {"a": {"b": 1}}) == {"a.b": (ABSENT, 1), '"a.b"': (1, ABSENT)}


def test_hashes_do_not_depend_on_spelling(tree: dict[str, Any]) -> None:
    first = from_tree(tree).runs[0].manifest
    reordered = dict(reversed(list(tree.items()))) | {"optimizer": [tree["optimizer"]], "seeds": 1}
    second = from_tree(reordered).runs[0].manifest
    assert manifest_hash(first) == manifest_hash(second)


def test_the_experiment_is_what_is_computed(tree: dict[str, Any]) -> None:
    first = from_tree(tree).runs[0].manifest
    elsewhere = {"name": "other", "notes": "n", "tracking": {"tensorboard": True}, "runs": {"directory": "x"}}
    second = from_tree(tree | elsewhere).runs[0].manifest
    assert set(elsewhere) == set(OUTSIDE_EXPERIMENT)
    assert manifest_hash(first) != manifest_hash(second)
    assert experiment_hash(first) == experiment_hash(second)


def test_a_hash_is_stable(tree: dict[str, Any]) -> None:
    # A change of this number orphans every stored checkpoint: it needs a new schema version, not a new number here.
    data = resolved(from_tree(tree).runs[0].manifest)
    assert len(manifest_hash(from_tree(data).runs[0].manifest)) == 64
    assert canonical_json({"b": 1.0, "a": [1e-8, "ü"]}) == '{"a":[1e-08,"ü"],"b":1.0}'
