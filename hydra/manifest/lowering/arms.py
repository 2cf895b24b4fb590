"""Arms and seeds: one manifest becomes a run per arm and seed, in the order of the file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hydra.errors import ManifestError, nearest
from hydra.manifest.lowering.merging import merge
from hydra.manifest.tree import Data, Tree

_EXAMPLE = "runs: {arms: {base: {}, wide: {model: {width: 512}}}}"
_ARM = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
#: Sections that say something about all arms together.
_SHARED = ("schema", "seeds", "comparison", "runs")


@dataclass(frozen=True, slots=True)
class Lowered:
    """One run's tree, and the arm of the comparison that it belongs to (None outside comparisons)."""

    tree: Tree
    arm: str | None


def arms(tree: Tree) -> tuple[Lowered, ...]:
    """The tree once per arm with the arm's changes laid over it; a tree without arms is its own only run."""
    found = tree.get(("runs", "arms"))
    if not isinstance(found, dict) or not found:
        arm = tree.get(("runs", "arm"))
        return (Lowered(tree.copy(), arm if isinstance(arm, str) else None),)
    if tree.has(("runs", "arm")):
        raise _refused(
            f"runs has both 'arms' and 'arm' ({tree.origin(('runs', 'arm'))})",
            "'arm' says which of the arms a run is, and is filled in when the arms are written out",
            "remove 'arm'",
        )
    _check_compared(tree, found)
    return tuple(_arm(tree, name, changes) for name, changes in found.items())


def _arm(tree: Tree, name: str, changes: Data) -> Lowered:
    origin = tree.origin(("runs", "arms", name)) or "runs.arms"
    if not _ARM.fullmatch(name):
        raise _refused(
            f"runs.arms has an arm named {name!r} ({origin})",
            "the arm's name becomes part of the run's name, which becomes a folder",
            "use lower-case letters, digits and hyphens, at most 40",
        )
    if not isinstance(changes, dict):
        raise _refused(
            f"runs.arms.{name} is {'null' if changes is None else repr(changes)}, not a mapping of changes ({origin})",
            "an arm is the shared manifest with some settings changed",
            "list the changed settings under the arm's name; '{}' for none",
        )
    for section in _SHARED:
        if section in changes:
            raise _refused(
                f"runs.arms.{name} changes '{section}' ({origin})",
                "that section belongs to the whole manifest, not to one arm of it",
                "move the setting out of the arm",
            )
    arm = tree.copy()
    arm.drop(("runs", "arms"))
    merge(arm, changes, tree.origins.at(("runs", "arms", name)))
    arm.put(("runs", "arm"), name, origin)
    _rename(arm, name, origin)
    return Lowered(arm, name)


def seeds(lowered: Lowered) -> tuple[Lowered, ...]:
    """The run once per seed, named after it; a single seed leaves the name alone."""
    found = lowered.tree.data.get("seeds")
    if lowered.tree.get(("comparison",)) is not None and isinstance(found, list):
        _pair(lowered.tree, found)
    if not isinstance(found, list) or len(found) < 2 or not all(type(seed) is int for seed in found):
        return (lowered,)
    if len(set(map(str, found))) != len(found):
        raise ManifestError(
            f"seeds repeats a value: {found} ({lowered.tree.origin(('seeds',))})",
            why="two runs with one seed are one run, and averaging them would count it twice",
            fix="give different seeds",
            example="seeds: [11, 12, 13]",
        )
    runs = []
    for index, seed in enumerate(found):
        run = lowered.tree.copy()
        origin = run.origin(("seeds", index)) or "default"
        run.put(("seeds",), [seed], origin)
        _rename(run, f"s{seed}", origin)
        runs.append(Lowered(run, lowered.arm))
    return tuple(runs)


def _pair(tree: Tree, found: list[Data]) -> None:
    """Every run of a comparison keeps the list of all its seeds, so that a missing one is noticed at the end."""
    path = ("comparison", "seeds")
    if isinstance(tree.get(path[:1]), dict) and not tree.has(path):
        tree.put(path, found, "inferred from seeds")


def _rename(tree: Tree, suffix: str, origin: str) -> None:
    name = tree.data.get("name")
    # Anything else than text is left for the schema to refuse.
    if isinstance(name, str):
        tree.put(("name",), f"{name}-{suffix}", f"{tree.origin(('name',))}, {origin}")


def _check_compared(tree: Tree, found: dict[str, Data]) -> None:
    compared = tree.get(("comparison", "arms"))
    for name in compared if isinstance(compared, list) else []:
        if isinstance(name, str) and name not in found:
            close = nearest(str(name), found)
            raise ManifestError(
                f"comparison.arms names {name!r}, and runs.arms has no such arm",
                why="a comparison needs every arm it names",
                fix=f"did you mean '{close}'?" if close else "define it under runs.arms",
                example=_EXAMPLE,
            )


def _refused(what: str, why: str, fix: str) -> ManifestError:
    return ManifestError(what, why=why, fix=fix, example=_EXAMPLE)
