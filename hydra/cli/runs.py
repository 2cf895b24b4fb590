"""`hydra runs`."""

from __future__ import annotations

import time
from dataclasses import asdict

from hydra.cli.options import RUNS, DirectoryOption, JsonOption
from hydra.cli.output import remark, write_json, write_table
from hydra.report import quantities
from hydra.runs import RunRow, list_runs

_HEADS = ("run", "state", "step", "loss", "tokens/s", "age")


def command(directory: DirectoryOption = RUNS, as_json: JsonOption = False) -> None:
    """List runs: state, step, loss, speed.

    Newest first; the age is that of the last step, or of the run before its first. A run that claims to live and whose
    trainer is gone is `lost`.
    """
    rows = list_runs(directory)
    if as_json:
        write_json([asdict(row) | {"path": str(row.path)} for row in rows])
        return
    if not rows:
        remark(f"no runs in {directory}")
        return
    write_table(_HEADS, [_cells(row) for row in rows], right=("step", "loss", "tokens/s", "age"))
    for row in rows:
        if row.reason:
            remark(f"{row.id}: {row.reason}")


def _cells(row: RunRow) -> tuple[str, ...]:
    state = row.state or "unknown"
    total = "" if row.total_steps is None else f"/{row.total_steps}"
    return (
        row.id,
        f"{state} ({row.phase})" if row.phase is not None else state,
        "" if row.step is None else f"{row.step}{total}",
        "" if row.loss is None else quantities.number(row.loss),
        "" if row.tokens_per_s is None else quantities.magnitude(row.tokens_per_s),
        quantities.duration(time.time() - row.started if row.last_step_age is None else row.last_step_age),
    )
