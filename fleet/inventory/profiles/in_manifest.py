"""Which settings a manifest file writes itself: those beat profiles and `fleet.json`. Reads YAML, imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hydra.manifest.paths import Path as SettingPath
from hydra.manifest.paths import dotted
from hydra.manifest.tree import Data, Tree, leaves


@dataclass(frozen=True, slots=True)
class Written:
    """One value as a manifest has it, and where: `manifests/default.yaml:14`."""

    value: Data
    origin: str


def keys_in_manifest(path: Path) -> Mapping[str, Written]:
    """The dotted path of every value that the file writes; a model's preset stands for the whole model.

    The file is read as it is written: variables, repeats and arms are not resolved, nor is the schema asked. Raises
    ManifestError for a file that is missing or no strict YAML.
    """
    # Reading YAML takes 25 ms to import, and this room is imported by commands that train nothing.
    from hydra.manifest import source

    tree = source.parse(source.text_of(path), str(path))
    found = {dotted(place): _written(tree, place, value) for place, value in leaves(tree.data) if value != {}}
    if tree.has(("model", "preset")):
        found["model"] = _written(tree, ("model", "preset"), tree.get(("model", "preset")))
    return found


def _written(tree: Tree, place: SettingPath, value: Data) -> Written:
    return Written(value, tree.origin(place) or "the manifest")
