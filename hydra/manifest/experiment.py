"""What a manifest file becomes: explicit runs."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.manifest.root import Manifest


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
