"""What makes two manifests the same: canonical JSON, hashes over it, and the list of differences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hydra.manifest.root import Manifest
from hydra.manifest.tree import dotted, leaves

#: Settings that name, describe, place or watch a run without changing what it computes.
_OUTSIDE_EXPERIMENT = ("name", "notes", "tracking", "runs")


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
    return digest({key: value for key, value in resolved(manifest).items() if key not in _OUTSIDE_EXPERIMENT})


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted path -> (value in first, value in second) for every leaf that differs; an absent leaf reads `<absent>`."""
    left = {dotted(path): value for path, value in leaves(dict(first))}
    right = {dotted(path): value for path, value in leaves(dict(second))}
    return {
        path: (left.get(path, "<absent>"), right.get(path, "<absent>"))
        for path in sorted(left.keys() | right.keys())
        if canonical_json(left.get(path, "<absent>")) != canonical_json(right.get(path, "<absent>"))
    }
