"""`hydra lower`."""

from __future__ import annotations

from typing import Any

import yaml

from hydra.cli.options import JsonOption, ManifestArgument, SetOption
from hydra.cli.output import write, write_json
from hydra.manifest import Run, experiment_hash, load, manifest_hash
from hydra.manifest.identity import resolved


def command(manifest: ManifestArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Print the explicit runs that a manifest stands for.

    One YAML document for each arm and seed, with presets, repeats, variables and inferred sizes written out. Each is a
    manifest itself, and lowers to itself.
    """
    runs = load(manifest, overrides or ()).runs
    if as_json:
        write_json([_record(run) for run in runs])
        return
    for run in runs:
        write(f"---\n# {run.manifest.name}: manifest {manifest_hash(run.manifest)[:16]}")
        write(yaml.safe_dump(resolved(run.manifest), sort_keys=False, allow_unicode=True, width=120).rstrip("\n"))


def _record(run: Run) -> dict[str, Any]:
    return {
        "name": run.manifest.name,
        "arm": run.arm,
        "manifest_hash": manifest_hash(run.manifest),
        "experiment_hash": experiment_hash(run.manifest),
        "manifest": resolved(run.manifest),
        "origins": run.origins,
    }
