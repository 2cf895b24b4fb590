"""Every field counts: set to another value, it changes the manifest's hash and, if it can, the experiment's."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from hydra.errors import ManifestError
from hydra.manifest import Manifest, experiment_hash, from_tree, manifest_hash
from hydra.manifest.documentation import json_schema
from hydra.manifest.identity import OUTSIDE_EXPERIMENT, resolved
from hydra.manifest.paths import Path, dotted
from hydra.manifest.registrations import KINDS
from hydra.manifest.section import Section, kinds
from hydra.manifest.shape import fields, inside, sample
from hydra.manifest.tree import leaves

BASE: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "data": {
        "sources": [{"name": "code", "weight": 0.5, "corpus": {"kind": "stdlib"}}],
        "sequence": 64,
    },
    "tokenizer": {"kind": "bytes"},
    "model": {
        "width": 64,
        "context": 128,
        "norm": {"kind": "rms_norm"},
        "blocks": [{"id": "a", "mixer": {"kind": "softmax", "heads": 4}, "mlp": {"kind": "swiglu", "hidden": 64}}],
        "head": {"softcap": 15.0},
    },
    "optimizer": [{"kind": "adamw", "lr": 3e-3}],
    "schedule": {"kind": "wsd", "warmup_steps": 2},
    "training": {"steps": 10, "batch": 4, "micro_batch": 2},
    "tracking": {"wandb": {"project": "p"}},
    "seeds": [11],
    "runs": {"arm": "base"},
    "comparison": {
        "apples_to_apples": False,
        "arms": ["base", "wide"],
        "varies": ["model.blocks"],
        "seeds": [11, 12, 13],
        "tuned": {"space": {"optimizer.0.lr": [1e-3]}, "budget": 1},
    },
}
#: Where a kind of each slot stands in the base.
SLOTS: dict[str, tuple[Path, ...]] = {
    "corpus": (("data", "sources", 0, "corpus"),),
    "tokenizer": (("tokenizer",),),
    "mixer": (("model", "blocks", 0, "mixer"),),
    "mlp": (("model", "blocks", 0, "mlp"),),
    "norm": (("model", "norm"), ("model", "blocks", 0, "norm")),
    "optimizer": (("optimizer", 0),),
    "schedule": (("schedule",),),
}
#: Fixed by the format, or gone once a manifest is lowered.
WITHOUT_VALUES = {
    "schema": "there is one version",
    "vars": "substituted when lowered",
    "runs.arms": "written out when lowered",
    "comparison.seeds.0": "the run's own seed must be among them",
}


def enums(schema: object) -> Iterator[object]:
    """Every word of every choice in the schema."""
    if isinstance(schema, dict):
        yield from schema.get("enum", [])
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []:
        yield from enums(value)


WORDS = sorted({str(word) for word in enums(json_schema())})


def put(tree: dict[str, Any], path: Path, value: object) -> None:
    node: Any = tree
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value


def explicit(tree: dict[str, Any]) -> dict[str, Any]:
    return resolved(from_tree(tree).runs[0].manifest)


def bases() -> dict[str, dict[str, Any]]:
    """One explicit manifest per kind of every slot."""
    found = {"base": explicit(BASE)}
    for slot, places in SLOTS.items():
        for name in KINDS[slot]:
            tree = copy.deepcopy(BASE)
            content = sample(kinds(slot)[name]) | {"kind": name}
            put(tree, places[-1], content | ({"warmup_steps": 2} if slot == "schedule" else {}))
            found[f"{slot}: {name}"] = explicit(tree)
    return found


ALL = bases()


def other_values(value: object) -> Iterator[object]:
    """Values of like type to try, likelier ones first."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value * 2, value + 1, 12, max(value // 2, 1), 1)
    elif isinstance(value, float):
        yield from (value / 2, value * 0.9 + 0.01, 0.5)
    elif isinstance(value, str):
        yield from (*WORDS, f"{value}x", "wide", "model", 7)
    elif value is None:
        yield from (7, 0.5, "x", {"base": 5.0})
    elif value == []:
        yield ["x"]
    elif value == {}:
        yield {"x": "y"}


def changed(base: dict[str, Any], path: Path, value: object) -> Manifest | None:
    """The base with another value in one place, or None if none fits."""
    for other in other_values(value):
        if other == value:
            continue
        tree = copy.deepcopy(base)
        put(tree, path, other)
        try:
            return from_tree(tree).runs[0].manifest
        except ManifestError:
            continue
    return None


@pytest.mark.parametrize("which", sorted(ALL))
def test_every_leaf_changes_the_hashes(which: str) -> None:
    base = ALL[which]
    before = from_tree(base).runs[0].manifest
    for path, value in leaves(base):
        name = dotted(path)
        if name in WITHOUT_VALUES or (path[-1] == "kind" and which != "base"):
            continue
        if which != "base" and not any(path[: len(place)] == place for place in SLOTS[which.split(":", maxsplit=1)[0]]):
            continue
        after = changed(base, path, value)
        if after is None:
            assert path[-1] == "kind", f"no other value of {name} loads"
            continue
        assert manifest_hash(after) != manifest_hash(before), name
        same_experiment = experiment_hash(after) == experiment_hash(before)
        assert same_experiment == (path[0] in OUTSIDE_EXPERIMENT), name


def test_the_bases_hold_every_field_of_the_schema() -> None:
    """Otherwise the test above would pass by not looking."""
    held = {
        ".".join(str(part) for part in path if isinstance(part, str)) for base in ALL.values() for path in places(base)
    }
    missing = set(schema_places(Manifest, "")) - held
    assert not missing


def places(tree: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def schema_places(section: type[Section], above: str) -> Iterator[str]:
    for key, info in fields(section).items():
        name = f"{above}.{key}" if above else key
        yield name
        found = inside(info)
        classes = [] if found is None else [found.section] if found.section else list(kinds(found.slot or "").values())
        for one in classes:
            assert one is not None
            yield from schema_places(one, name)


def test_every_field_says_what_it_means() -> None:
    for section in sections(Manifest):
        assert section.__doc__, section.__name__
        for key, info in fields(section).items():
            assert key == "kind" or info.description, f"{section.__name__}.{key} has no description"


def sections(root: type[Section]) -> Iterator[type[Section]]:
    yield root
    for info in fields(root).values():
        found = inside(info)
        for one in [] if found is None else [found.section] if found.section else kinds(found.slot or "").values():
            assert one is not None
            yield from sections(one)
