"""The stages in order: arms, variables, shorthands, seeds, presets, repeats, inferred sizes.

Each stage takes a tree and returns a tree, and lowering a lowered tree changes nothing.
"""

from __future__ import annotations

import json

from hydra.errors import ManifestError
from hydra.manifest.lowering.arms import Lowered, arms, seeds
from hydra.manifest.lowering.expand import presets, repeats
from hydra.manifest.lowering.infer import sizes
from hydra.manifest.lowering.shorthand import shorthands
from hydra.manifest.lowering.variables import check_index, check_used, substitute
from hydra.manifest.root import SCHEMA_VERSION
from hydra.manifest.tree import Tree


def lower(tree: Tree) -> tuple[Lowered, ...]:
    """All runs of a manifest, explicit: arms in the order of the file, seeds in theirs."""
    _check_version(tree)
    found, used = arms(tree), set[str]()
    plain = [Lowered(shorthands(substitute(arm.tree, used)), arm.arm) for arm in found]
    check_used((arm.tree for arm in found), used)
    return tuple(Lowered(_explicit(run.tree), run.arm) for arm in plain for run in seeds(arm))


def _explicit(tree: Tree) -> Tree:
    written = repeats(presets(tree))
    check_index(written)
    return sizes(written)


def _check_version(tree: Tree) -> None:
    version = tree.data.get("schema")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ManifestError(
            f"the manifest says schema: {json.dumps(version)}"
            if "schema" in tree.data
            else "the manifest names no schema version",
            why=f"this Hydra reads version {SCHEMA_VERSION}, and another version's keys may mean something else",
            fix=f"write 'schema: {SCHEMA_VERSION}' at the top and check the file with 'hydra check'",
            example=f"schema: {SCHEMA_VERSION}",
        )
