"""Loading: file, overrides, lowering, schema - and errors that name the line and the nearest right key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from hydra.errors import HydraError
from hydra.manifest import overrides as override_stage
from hydra.manifest import source
from hydra.manifest.complaints import complaint
from hydra.manifest.identity import resolved
from hydra.manifest.lowering import lower
from hydra.manifest.root import Manifest
from hydra.manifest.tree import Tree, dotted, leaves


@dataclass(frozen=True)
class Run:
    """One explicit run of an experiment: its manifest, who decided each value, and its arm in a comparison."""

    manifest: Manifest
    origins: dict[str, str]
    arm: str | None


@dataclass(frozen=True)
class Experiment:
    """All runs of one manifest file, with the text it was read from and the overrides that were applied."""

    runs: tuple[Run, ...]
    text: str
    overrides: tuple[str, ...]


def load(path: FilePath, overrides: Sequence[str] = ()) -> Experiment:
    """Read, override, lower and validate a manifest file. Raises ManifestError for anything that is not exact."""
    tree = override_stage.apply(source.read(path), overrides)
    return Experiment(_runs(tree), path.read_text(encoding="utf-8"), tuple(overrides))


def from_tree(data: dict[str, Any], overrides: Sequence[str] = ()) -> Experiment:
    """The same from plain data, as stored with a run or built by a program."""
    tree = override_stage.apply(Tree(json.loads(json.dumps(data))), overrides)
    return Experiment(_runs(tree), json.dumps(data, indent=2), tuple(overrides))


def _runs(tree: Tree) -> tuple[Run, ...]:
    return tuple(Run(*_validated(lowered.tree), lowered.arm) for lowered in lower(tree))


def _validated(tree: Tree) -> tuple[Manifest, dict[str, str]]:
    try:
        manifest = Manifest.model_validate_json(json.dumps(tree.data))
    except ValidationError as error:
        raise _error(error, tree) from error
    origins = {dotted(path): tree.origin(path) if tree.get(path) is not None or tree.has(path) else None
               for path, _ in leaves(resolved(manifest))}
    return manifest, {path: origin or "default" for path, origin in origins.items()}


def _error(error: ValidationError, tree: Tree) -> HydraError:
    return complaint(error, tree, Manifest)
