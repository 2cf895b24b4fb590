"""`hydra checkpoint`: looking at the checkpoints of a run without changing them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from hydra.cli.options import RUNS, DirectoryOption, JsonOption, RunArgument, StepOption
from hydra.cli.output import remark, write_json, write_table
from hydra.errors import CheckpointError
from hydra.report import quantities
from hydra.runs import RunDirectory
from hydra.training.checkpoint import Checkpoints, Verification

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="List and verify the checkpoints of a run.",
)


@app.command("list")
def list_checkpoints(run: RunArgument, directory: DirectoryOption = RUNS, as_json: JsonOption = False) -> None:
    """List the checkpoints of a run, each verified.

    Exit code 10 if one of them is bad.
    """
    found = RunDirectory.find(directory, run)
    store = Checkpoints(found.checkpoints)
    rows = [_facts(store, store.verify(step)) for step in store.steps()]
    if as_json:
        write_json(rows)
    elif not rows:
        remark(f"run {found.id} has no checkpoint")
    else:
        heads = ("step", "size", "bits per byte", "verified", "pointer")
        write_table(heads, [_cells(row) for row in rows], right=("step", "size", "bits per byte"))
    _exit(rows)


@app.command("verify")
def verify_checkpoints(
    run: RunArgument, step: StepOption = None, directory: DirectoryOption = RUNS, as_json: JsonOption = False
) -> None:
    """Compare every file of the checkpoints with its digest.

    Of one step, or of all. Exit code 10 if one is bad.
    """
    found = RunDirectory.find(directory, run)
    store = Checkpoints(found.checkpoints)
    steps = store.steps() if step is None else [step]
    if not steps:
        raise CheckpointError(
            f"run {found.id} has no checkpoint",
            why="there is nothing that could be verified",
            fix="let it train until its first save, or ask it to save now",
            example="kill -USR1 PID",
        )
    verified = [store.verify(number) for number in steps]
    if as_json:
        write_json([asdict(one) | {"verified": one.ok} for one in verified])
    else:
        _tell(verified)
    _exit([{"verified": one.ok} for one in verified])


def _tell(verified: list[Verification]) -> None:
    for one in verified:
        size = quantities.size(one.bytes)
        typer.echo(f"step {one.step}: {f'verified, {size}' if one.ok else 'BAD'}")
        for problem in one.problems:
            typer.echo(f"  {problem}")


def _facts(store: Checkpoints, verification: Verification) -> dict[str, Any]:
    pointers = [
        name for name, named in (("latest", store.latest()), ("best", store.best())) if named == verification.step
    ]
    return {
        "step": verification.step,
        "bytes": verification.bytes,
        "bits_per_byte": store.complete(verification.step).metric if verification.ok else None,
        "verified": verification.ok,
        "problems": list(verification.problems),
        "pointers": pointers,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    bits = row["bits_per_byte"]
    return (
        str(row["step"]),
        quantities.size(row["bytes"]) if row["verified"] else "",
        "" if bits is None else quantities.number(bits),
        "yes" if row["verified"] else f"NO: {'; '.join(row['problems'])}",
        ", ".join(row["pointers"]),
    )


def _exit(rows: list[dict[str, Any]]) -> None:
    if not all(row["verified"] for row in rows):
        raise typer.Exit(CheckpointError.exit_code)
