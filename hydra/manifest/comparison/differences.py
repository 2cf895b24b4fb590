"""Where the arms of a comparison differ, and whether they may."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hydra.manifest.comparison.groups import MODEL, OPTIMISER, covered, covers, group_of
from hydra.manifest.comparison.violations import Row, Violation
from hydra.manifest.identity import ABSENT, canonical_json, digest, resolved
from hydra.manifest.paths import dotted
from hydra.manifest.root import Manifest
from hydra.manifest.sections import Comparison
from hydra.manifest.tree import leaves

#: What names an arm instead of deciding what it computes.
_NAMES = ("name", "runs.arm")


def differing(arms: Mapping[str, Manifest]) -> tuple[Row, ...]:
    """Every leaf that is not byte-equal in all arms, with its value in each."""
    found = {arm: _leaves(manifest) for arm, manifest in arms.items()}
    paths = sorted({path for values in found.values() for path in values})
    rows = (Row(path, {arm: values.get(path, ABSENT) for arm, values in found.items()}) for path in paths)
    return tuple(row for row in rows if len({canonical_json(value) for value in row.values.values()}) > 1)


def unallowed(arms: Mapping[str, Manifest], comparison: Comparison) -> tuple[Violation, ...]:
    """The differences that neither `varies` nor `tuned` allows, one violation per group of settings."""
    by_group: dict[str, list[Row]] = {}
    for row in differing(arms):
        group = group_of(row.path)
        allowed = _is_tuned(row, comparison) if group == OPTIMISER else covered(comparison.varies, row.path)
        if not allowed:
            by_group.setdefault(group, []).append(row)
    return tuple(
        Violation(group, "settings differ that must be equal in every arm", tuple(rows))
        for group, rows in sorted(by_group.items())
    )


def unfit_paths(arms: Mapping[str, Manifest], comparison: Comparison) -> tuple[Violation, ...]:
    """Entries of `varies` and `tuned.space` that name nothing, or something that no fair comparison may vary."""
    known = {path for manifest in arms.values() for path in _leaves(manifest)}
    space = comparison.tuned.space if comparison.tuned is not None else {}
    found = []
    for name, patterns, group in (("varies", comparison.varies, MODEL), ("tuned.space", tuple(space), OPTIMISER)):
        for pattern in patterns:
            groups = {group_of(path) for path in known if covers(pattern, path)}
            if not groups:
                found.append(Violation("paths", f"comparison.{name} names '{pattern}', and no arm has such a setting"))
            elif groups != {group}:
                others = ", ".join(sorted(groups - {group}))
                what = f"comparison.{name} names '{pattern}' ({others}), and may only name settings of the {group}"
                found.append(Violation("paths", what))
    return tuple(found)


def unfit_search(comparison: Comparison) -> tuple[Violation, ...]:
    """A budget of more trials than the space has points: the arms could not have been searched equally."""
    if comparison.tuned is None:
        return ()
    points = math.prod(len(set(values)) for values in comparison.tuned.space.values())
    if comparison.tuned.budget <= points:
        return ()
    what = f"comparison.tuned.budget is {comparison.tuned.budget} trials per arm, and the space has {points} points"
    return (Violation(OPTIMISER, what),)


def shared_hash(manifest: Manifest, comparison: Comparison) -> str:
    """Identity of what all runs of a comparison have in common: everything but the seed and what may differ."""
    space = comparison.tuned.space if comparison.tuned is not None else {}
    free = (*comparison.varies, *space, "seeds")
    return digest({path: value for path, value in _leaves(manifest).items() if not covered(free, path)})


def _leaves(manifest: Manifest) -> dict[str, Any]:
    written = {dotted(path): value for path, value in leaves(resolved(manifest))}
    return {path: value for path, value in written.items() if path not in _NAMES}


def _is_tuned(row: Row, comparison: Comparison) -> bool:
    """Whether every arm's value is one of those that the equal search tried."""
    values = comparison.tuned.space.get(row.path) if comparison.tuned is not None else None
    return values is not None and all(value in values for value in row.values.values())
