"""`hydra compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from hydra.cli.options import RUNS, DirectoryOption, JsonOption, ManifestArgument, SetOption
from hydra.cli.output import remark, write_json, write_table
from hydra.errors import UsageError
from hydra.manifest import Experiment, load, manifest_hash
from hydra.manifest.comparison import EndRecord, Verdict, compare_runs
from hydra.manifest.sections import Comparison
from hydra.runs import RunDirectory, RunId, list_runs, read_yaml, run_name


def command(
    manifest: ManifestArgument,
    overrides: SetOption = None,
    directory: DirectoryOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Judge the finished runs of a comparison.

    For every arm and seed of the manifest the newest run of exactly these settings is taken. One that is missing,
    unfinished or unlike the others voids the comparison: its reasons are told, no result is, and the exit code is 2.
    """
    experiment = load(manifest, overrides or ())
    comparison = _claimed(experiment)
    found = _newest_runs(experiment, directory)
    verdict = compare_runs(_records(list(found.values())), comparison)
    if as_json:
        write_json(_record(verdict, found))
        raise typer.Exit(verdict.exit_code)
    rows = verdict.table()
    for name, run in found.items():
        remark(f"{name}: {run.id}")
    write_table(rows[0], rows[1:], right=("mean difference", "seeds"))
    if not verdict.fair:
        remark("equal conditions were not demanded (comparison.apples_to_apples: false)")


def _claimed(experiment: Experiment) -> Comparison:
    comparison = experiment.runs[0].manifest.comparison
    if comparison is not None:
        return comparison
    raise UsageError(
        "the manifest describes no comparison",
        why="it says neither which arms are compared nor at what they may differ",
        fix="add a comparison, or look at single runs with `hydra report`",
        example="comparison: {apples_to_apples: true, arms: [base, wide], varies: [model.blocks]}",
    )


def _newest_runs(experiment: Experiment, directory: Path) -> dict[str, RunDirectory]:
    """Name of each run of the experiment -> the newest run directory with its manifest hash."""
    wanted = {manifest_hash(run.manifest): run.manifest.name for run in experiment.runs}
    names = {run_name(name) for name in wanted.values()}
    found: dict[str, RunDirectory] = {}
    for row in list_runs(directory):
        identifier = RunId.parse(row.id)
        if identifier is None or identifier.name not in names:
            continue
        run = RunDirectory(row.path)
        document = read_yaml(run.manifest) if run.manifest.exists() else None
        name = wanted.get(document.get("manifest_hash", "")) if isinstance(document, dict) else None
        if name is not None:
            found.setdefault(name, run)
    return found


def _records(runs: Sequence[RunDirectory]) -> list[EndRecord]:
    """What the runs wrote down at their ends; a run that wrote nothing counts as missing."""
    paths = [run.comparison for run in runs]
    return [EndRecord.model_validate_json(path.read_bytes()) for path in paths if path.is_file()]


def _record(verdict: Verdict, found: dict[str, RunDirectory]) -> dict[str, Any]:
    return {
        "void": [asdict(violation) for violation in verdict.void],
        "fair": verdict.fair,
        "findings": [asdict(finding) for finding in verdict.findings],
        "runs": {name: run.id for name, run in found.items()},
    }
