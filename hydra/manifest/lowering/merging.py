"""Laying changes over a tree: what arms and the keys beside a preset have in common."""

from __future__ import annotations

from hydra.manifest.paths import Path
from hydra.manifest.tree import Data, Origins, Tree

#: A mapping that names another variant than the one below it replaces it: the other's settings mean nothing to it.
_VARIANTS = ("kind", "preset")
#: Two spellings of one setting: giving one takes the other away.
_SPELLINGS = {("data", "corpus"): ("data", "sources"), ("data", "sources"): ("data", "corpus")}


def merge(tree: Tree, changes: dict[str, Data], origins: Origins, path: Path = ()) -> None:
    """Lay changes over the mapping at a path: mappings merge, all else replaces, lists as a whole."""
    for key, value in changes.items():
        here = (*path, key)
        present = tree.get(here)
        if here in _SPELLINGS:
            tree.drop(_SPELLINGS[here])
        below = origins.at((key,))
        if isinstance(value, dict) and isinstance(present, dict) and _same_variant(value, present):
            merge(tree, value, below, here)
        else:
            tree.put(here, value, below)


def _same_variant(value: dict[str, Data], present: dict[str, Data]) -> bool:
    return all(name not in value or value[name] == present.get(name) for name in _VARIANTS)
