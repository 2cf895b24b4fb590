"""Whatever is given, a manifest loads or is refused with a ManifestError or ComparisonError; nothing else escapes."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hydra.errors import ComparisonError, ManifestError
from hydra.manifest import from_tree
from hydra.manifest.documentation import json_schema
from hydra.manifest.identity import resolved
from hydra.manifest.tree import leaves

REFUSED = contextlib.suppress(ManifestError, ComparisonError)
MANIFESTS = Path(__file__).parents[3] / "manifests"


def _keys(schema: object) -> set[str]:
    if isinstance(schema, dict):
        own = set(schema.get("properties", {})) if isinstance(schema.get("properties"), dict) else set()
        return own.union(*(_keys(value) for value in schema.values()))
    return set().union(*(_keys(value) for value in schema)) if isinstance(schema, list) else set()


def _words(schema: object) -> set[str]:
    if isinstance(schema, dict):
        own = {word for word in schema.get("enum", []) if isinstance(word, str)}
        return own.union(*(_words(value) for value in schema.values()))
    return set().union(*(_words(value) for value in schema)) if isinstance(schema, list) else set()


KEYS = sorted(_keys(json_schema()))
WORDS = sorted(_words(json_schema()))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*WORDS, *KEYS, "${a}", "${index}", "${", "auto", "1e-4", "*", "", "\ud800"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=20,
)
TREES = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), JSON, max_size=6)
BASES = [
    yaml.safe_load((MANIFESTS / name).read_text(encoding="utf-8"))
    for name in ("default.yaml", "comparison.yaml", "gqa-window.yaml", "text.yaml")
]
EXPLICIT = [resolved(from_tree(base).runs[-1].manifest) for base in BASES]


@given(JSON)
@example([])
@example(None)
def test_any_json_is_refused(garbage: Any) -> None:
    with pytest.raises(ManifestError):
        from_tree(garbage)


@settings(max_examples=120)
@given(TREES)
def test_sections_full_of_garbage_are_refused(garbage: dict[str, Any]) -> None:
    with REFUSED:
        from_tree({"schema": 1} | garbage)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*BASES, *EXPLICIT]), st.data())
def test_one_thing_replaced_in_a_good_manifest(base: dict[str, Any], data: st.DataObject) -> None:
    tree = copy.deepcopy(base)
    nodes = [path[:size] for path, _ in leaves(tree) for size in range(1, len(path) + 1)]
    path = data.draw(st.sampled_from(sorted(set(nodes), key=str)))
    action = data.draw(st.sampled_from(["replace", "remove", "add", "rename"]))
    parent: Any = tree
    for part in path[:-1]:
        parent = parent[part]
    if action == "replace":
        parent[path[-1]] = data.draw(JSON)
    elif action == "remove":
        del parent[path[-1]]
    elif isinstance(parent, dict):
        key = data.draw(st.sampled_from(KEYS) | st.text(max_size=6))
        parent[key] = data.draw(JSON) if action == "add" else parent.pop(path[-1])
    with REFUSED:
        for run in from_tree(tree).runs:
            (again,) = from_tree(resolved(run.manifest)).runs
            assert again.manifest == run.manifest


@settings(max_examples=120)
@given(
    st.sampled_from(BASES),
    st.lists(st.sampled_from(KEYS) | st.sampled_from(["0", "1"]) | st.text(max_size=3), min_size=1, max_size=5),
    st.text(max_size=10) | st.sampled_from(WORDS),
)
def test_any_override_is_applied_or_refused(base: dict[str, Any], parts: list[str], value: str) -> None:
    with REFUSED:
        from_tree(base, [f"{'.'.join(parts)}={value}"])


@given(st.text(max_size=30))
def test_any_override_text_is_applied_or_refused(text: str) -> None:
    with REFUSED:
        from_tree(BASES[0], [text])


def cycle() -> dict[str, Any]:
    found: dict[str, Any] = {"schema": 1}
    found["notes"] = found
    return found


def bomb() -> dict[str, Any]:
    found: list[Any] = ["x"]
    for _ in range(60):
        found = [found] * 9
    return {"schema": 1, "notes": found}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (cycle, "64 levels"),
        (bomb, "64 levels|values"),
        (lambda: {"schema": 1, "notes": float("nan")}, "finite"),
        (lambda: {"schema": 1, "notes": 2**63}, "64 bits"),
        (lambda: {"schema": 1, "notes": b"x"}, "is a bytes"),
        (lambda: {"schema": 1, "notes": Path()}, "is a PosixPath|is a WindowsPath"),
        (lambda: {"schema": 1, 5: 1}, "the key 5, which is not text"),
        (lambda: {"schema": 1, "\ud800": 1}, "which is not text"),
    ],
)
def test_what_is_no_plain_data(make: Callable[[], dict[str, Any]], expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        from_tree(make())


def test_tuples_are_lists(tree: dict[str, Any]) -> None:
    tree["model"]["blocks"] = tuple(tree["model"]["blocks"])
    assert len(from_tree(tree).runs[0].manifest.model.blocks) == 2
