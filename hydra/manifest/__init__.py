"""The manifest: one strict YAML file that says what a run is, lowered to explicit runs and identified by a hash.

It exists so that what will run is written down before it runs; nothing else configures Hydra. Imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.manifest.identity import canonical_json, difference, experiment_hash, manifest_hash
    from hydra.manifest.loading import Experiment, Run, from_tree, load
    from hydra.manifest.root import Manifest
    from hydra.manifest.section import Section, Slot

# Loaded on first use: the schema imports every room's config.py, and those import `hydra.manifest.section` in turn.
_EXPORTS = {
    "Experiment": "loading",
    "Manifest": "root",
    "Run": "loading",
    "Section": "section",
    "Slot": "section",
    "canonical_json": "identity",
    "difference": "identity",
    "experiment_hash": "identity",
    "from_tree": "loading",
    "load": "loading",
    "manifest_hash": "identity",
}

__all__ = [
    "Experiment",
    "Manifest",
    "Run",
    "Section",
    "Slot",
    "canonical_json",
    "difference",
    "experiment_hash",
    "from_tree",
    "load",
    "manifest_hash",
]


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"hydra.manifest.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'hydra.manifest' has no attribute '{name}'")
