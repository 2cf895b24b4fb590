"""The stages in order: arms and seeds, variables, shorthands, presets, repeats, inferred sizes.

Each stage takes a tree and returns a tree, and lowering a lowered tree changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from hydra.errors import ManifestError, nearest
from hydra.manifest.lowering.expand import presets, repeats
from hydra.manifest.lowering.infer import sizes
from hydra.manifest.lowering.shorthand import shorthands
from hydra.manifest.lowering.variables import substitute
from hydra.manifest.root import SCHEMA_VERSION
from hydra.manifest.tree import Data, Path, Tree


@dataclass(frozen=True)
class Lowered:
    """One run's explicit tree, and the arm of the comparison that it belongs to (None outside comparisons)."""

    tree: Tree
    arm: str | None


def lower(tree: Tree) -> tuple[Lowered, ...]:
    """All runs of a manifest, explicit: arms in the order of the file, seeds in theirs."""
    _check_version(tree)
    return tuple(
        Lowered(sizes(repeats(presets(shorthands(substitute(run.tree))))), run.arm)
        for arm in _arms(tree)
        for run in _seeds(arm)
    )


def _check_version(tree: Tree) -> None:
    version = tree.data.get("schema")
    if version != SCHEMA_VERSION:
        raise ManifestError(
            f"the manifest says schema: {version!r}" if "schema" in tree.data else "the manifest names no schema version",
            why=f"this Hydra reads version {SCHEMA_VERSION}, and guessing another version's meaning would change the run",
            fix=f"write 'schema: {SCHEMA_VERSION}' at the top and check the file with 'hydra check'",
            example=f"schema: {SCHEMA_VERSION}",
        )


def _arms(tree: Tree) -> tuple[Lowered, ...]:
    arms = tree.get(("runs", "arms"))
    if not isinstance(arms, dict) or not arms:
        return (Lowered(tree.copy(), None),)
    runs = []
    for name, changes in arms.items():
        arm = tree.copy()
        arm.drop(("runs", "arms"))
        if not isinstance(changes, dict):
            raise ManifestError(
                f"runs.arms.{name} is {changes!r}, not a mapping of changes",
                why="an arm is the shared manifest with some settings changed",
                fix="list the changed settings under the arm's name; '{}' for none",
                example="runs: {arms: {base: {}, wide: {model: {width: 512}}}}",
            )
        for section in ("runs", "seeds", "comparison", "schema"):
            if section in changes:
                raise ManifestError(
                    f"runs.arms.{name} changes '{section}'",
                    why="that section belongs to the whole manifest, not to one arm of it",
                    fix="move the setting out of the arm",
                    example="runs: {arms: {base: {}, wide: {model: {width: 512}}}}",
                )
        merge(arm, (), changes, tree.below(("runs", "arms", name)), ())
        base = arm.data.get("name")
        arm.put(("name",), f"{base}-{name}", f"runs.arms.{name}")
        runs.append(Lowered(arm, name))
    _check_compared(tree, arms)
    return tuple(runs)


def _check_compared(tree: Tree, arms: dict[str, Data]) -> None:
    compared = tree.get(("comparison", "arms"))
    for name in compared if isinstance(compared, list) else []:
        if name not in arms:
            close = nearest(str(name), arms)
            raise ManifestError(
                f"comparison.arms names {name!r}, and runs.arms has no such arm",
                why="a comparison needs every arm it names",
                fix=f"did you mean '{close}'?" if close else "define it under runs.arms",
                example="runs: {arms: {base: {}, wide: {model: {width: 512}}}}",
            )


def merge(tree: Tree, path: Path, changes: dict[str, Data], origins: dict[Path, str], relative: Path) -> None:
    """Lay changes over a tree: mappings merge, all else replaces; a mapping of another `kind` replaces too."""
    for key, value in changes.items():
        here, there = (*path, key), (*relative, key)
        present = tree.get(here)
        origin = origins.get(there, "runs.arms")
        if isinstance(value, dict) and isinstance(present, dict) and value.get("kind") in (None, present.get("kind")):
            merge(tree, here, value, origins, there)
        else:
            tree.put(here, value, origin)


def _seeds(lowered: Lowered) -> tuple[Lowered, ...]:
    seeds = lowered.tree.data.get("seeds")
    if not isinstance(seeds, list) or len(seeds) < 2:
        return (lowered,)
    if len(set(map(str, seeds))) != len(seeds):
        raise ManifestError(
            f"seeds repeats a value: {seeds}",
            why="two runs with one seed are one run, and averaging them would count it twice",
            fix="give different seeds",
            example="seeds: [11, 12, 13]",
        )
    runs = []
    for seed in seeds:
        run = lowered.tree.copy()
        origin = run.origin(("seeds",)) or "default"
        run.put(("seeds",), [seed], origin)
        run.put(("name",), f"{run.data.get('name')}-s{seed}", origin)
        runs.append(Lowered(run, lowered.arm))
    return tuple(runs)
