"""Loading: file, overrides, lowering, schema - and errors that name the line and the nearest right key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from hydra.manifest import overrides as override_stage
from hydra.manifest import source
from hydra.manifest.comparison.plan import Measure, check_plan
from hydra.manifest.complaints import complaint
from hydra.manifest.experiment import Experiment, Run
from hydra.manifest.identity import resolved
from hydra.manifest.lowering import lower
from hydra.manifest.paths import dotted, parsed
from hydra.manifest.plain import plain, refused
from hydra.manifest.root import Manifest
from hydra.manifest.tree import Origins, Tree, leaves
from hydra.manifest.whence import GIVEN

__all__ = ["Experiment", "Run", "from_tree", "load"]


def load(path: FilePath, overrides: Sequence[str] = (), *, measure: Measure | None = None) -> Experiment:
    """Read, override, lower and validate a manifest file.

    `measure` gives the size of a run's model; with it a comparison's sizes are checked together with all else.
    Raises ManifestError for anything that is not exact, ComparisonError for a comparison that would not be fair.
    """
    text = source.text_of(path)
    return _experiment(source.parse(text, str(path)), text, overrides, measure)


def from_tree(
    data: dict[str, Any],
    overrides: Sequence[str] = (),
    *,
    origins: Mapping[str, str] | None = None,
    measure: Measure | None = None,
) -> Experiment:
    """The same from plain data, as stored with a run or built by a program.

    `origins` are those that were stored beside the data; without them every value is simply `given`.
    """
    checked = plain(data, "the manifest")
    if not isinstance(checked, dict):
        raise refused("the manifest", (), f"is a {type(data).__name__}, not a mapping of sections")
    tree = Tree(checked, Origins(GIVEN))
    for name, origin in (origins or {}).items():
        path = parsed(name)
        if tree.has(path):
            tree.origins.put(path, Origins(origin))
    return _experiment(tree, json.dumps(checked, indent=2), overrides, measure)


def _experiment(tree: Tree, text: str, overrides: Sequence[str], measure: Measure | None) -> Experiment:
    lowered = lower(override_stage.apply(tree, overrides))
    runs = tuple(Run(*_validated(run.tree), run.arm) for run in lowered)
    experiment = Experiment(runs, text, tuple(overrides))
    check_plan(experiment, measure)
    return experiment


def _validated(tree: Tree) -> tuple[Manifest, dict[str, str]]:
    try:
        # Through JSON text, where strict mode still takes lists for tuples.
        manifest = Manifest.model_validate_json(json.dumps(tree.data))
    except ValidationError as error:
        raise complaint(error, tree, Manifest) from error
    return manifest, {dotted(path): _origin(tree, path) for path, _ in leaves(resolved(manifest))}


def _origin(tree: Tree, path: tuple[str | int, ...]) -> str:
    return (tree.origin(path) or "default") if tree.has(path) else "default"
