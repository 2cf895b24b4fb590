"""What makes two manifests the same: canonical JSON, hashes over it, and the list of differences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hydra.manifest.paths import dotted
from hydra.manifest.root import Manifest
from hydra.manifest.tree import leaves

#: Settings that name, describe, place or watch a run without changing what it computes.
OUTSIDE_EXPERIMENT = ("name", "notes", "tracking", "runs")
#: Stands in a difference for a value that one side does not have.
ABSENT = "<absent>"


def resolved(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain data, under the names that files use."""
    data: dict[str, Any] = manifest.model_dump(mode="json", by_alias=True)
    return data


def canonical_json(data: object) -> str:
    """One text per value: UTF-8, sorted keys, no spaces, shortest floats, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(data: object) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


def manifest_hash(manifest: Manifest) -> str:
    """Identity of the whole resolved manifest."""
    return digest(resolved(manifest))


def experiment_hash(manifest: Manifest) -> str:
    """Identity of what the run computes: the manifest without its name, notes, trackers and place."""
    return digest({key: value for key, value in resolved(manifest).items() if key not in OUTSIDE_EXPERIMENT})


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted path -> (value in first, value in second) for every leaf that differs; an absent leaf reads `<absent>`.

    It is empty exactly when the canonical JSON of both is equal: `1` and `1.0`, and `true` and `1`, differ.
    """
    left, right = dict(leaves(dict(first))), dict(leaves(dict(second)))
    found: dict[str, tuple[Any, Any]] = {}
    for path in left.keys() | right.keys():
        here, there = path in left, path in right
        if here and there and canonical_json(left[path]) == canonical_json(right[path]):
            continue
        found[dotted(path)] = (left.get(path, ABSENT), right.get(path, ABSENT))
    return dict(sorted(found.items()))
