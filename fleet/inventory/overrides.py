"""Settings of the trainer in `fleet.json`: paths in the manifest, with nested objects as another way to write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fleet.inventory.located import Path
from fleet.inventory.values import Scalar
from hydra.manifest.paths import dotted, parsed


def flat(overrides: dict[str, Any]) -> dict[str, Scalar]:
    """`{"training": {"batch": 16}}` and `{"training.batch": 16}` as `{"training.batch": 16}`, of valid overrides."""
    return {dotted(setting): value for _, setting, value in settings(overrides) if setting is not None}


def settings(overrides: dict[str, Any], path: Path = (), setting: Path = ()) -> Iterator[tuple[Path, Path | None, Any]]:
    """Every value with its path in the JSON and its path in the manifest; the latter is None where a key is no path."""
    for key, value in overrides.items():
        here = (*path, key)
        try:
            below = (*setting, *parsed(key))
        except ValueError:
            yield here, None, value
            continue
        if isinstance(value, dict) and value:
            yield from settings(value, here, below)
        else:
            yield here, below, value
