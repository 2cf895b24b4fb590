"""`hydra eval`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from hydra.cli.open_run import open_model
from hydra.cli.options import RUNS, DeviceOption, DirectoryOption, JsonOption, RunArgument, StepOption
from hydra.cli.output import write, write_json
from hydra.cli.references import record_of
from hydra.data import Dataset, prepare
from hydra.errors import DataError
from hydra.inference import Score, score, torch_rows
from hydra.report import quantities
from hydra.runs import RunDirectory


def command(
    run: RunArgument,
    step: StepOption = None,
    rows: Annotated[
        int | None, typer.Option("--rows", min=1, help="Held-out rows at most; evaluation.rows of the run if absent.")
    ] = None,
    device: DeviceOption = "auto",
    directory: DirectoryOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Score a trained model on its held-out text, in bits per byte.

    With the run's own number of rows this repeats the evaluation that training made at that step.
    """
    found = RunDirectory.find(directory, run)
    opened = open_model(found, step, device)
    manifest = opened.manifest
    dataset = prepare(manifest)
    _require_same_data(found, dataset)
    result = score(
        opened.model,
        torch_rows(dataset.held_out(rows or manifest.evaluation.rows), manifest.evaluation.batch),
        dataset.tokenizer.token_bytes,
        masked=manifest.data.document_masks,
    )
    if as_json:
        write_json({"run": found.id, "step": opened.step, **asdict(result)})
    else:
        write(f"{found.id} at step {opened.step}: {_told(result)}")


def _told(result: Score) -> str:
    loss = f"loss {quantities.number(result.loss, 5)} nats per token"
    scope = f"{result.rows} rows, {result.targets:,} tokens, {result.bytes:,} bytes"
    if result.bits_per_byte is None:
        return f"{loss} ({scope}; the ids stand for no text)"
    error = "" if result.standard_error is None else f" ± {quantities.number(result.standard_error, 2)}"
    return f"{quantities.number(result.bits_per_byte, 5)}{error} bits per byte, {loss} ({scope})"


def _require_same_data(run: RunDirectory, dataset: Dataset) -> None:
    trained_on = (record_of(run).get("data") or {}).get("fingerprint")
    if trained_on is None or trained_on == dataset.fingerprint:
        return
    raise DataError(
        f"the data of run {run.id} are not here: fingerprint {dataset.fingerprint[:16]}, was {str(trained_on)[:16]}",
        why="the split is made by content, so text that is held out here may be text that the model was trained on",
        fix="evaluate where the run was trained, or restore its files (for the stdlib corpus: its Python version)",
        example=f"hydra generate {run.id} --prompt 'def main('",
    )
