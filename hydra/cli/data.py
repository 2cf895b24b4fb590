"""`hydra data`: building token shards, and looking at what a step trains on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hydra.cli.options import RUNS, DirectoryOption, JsonOption, ManifestArgument, OnlyOption, SetOption, SourceArgument
from hydra.cli.output import write, write_json
from hydra.cli.references import described, one_of
from hydra.data import ShownRow, build_shards, prepare, show
from hydra.manifest import load
from hydra.runs import escape

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Build token shards; show the exact rows of any step.",
)
_SHOWN = 400


@app.command("build")
def build(
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write into; nothing is written over.")],
    overrides: SetOption = None,
    only: OnlyOption = None,
) -> None:
    """Tokenize the corpora of a manifest into shards.

    One shard for each source, and the tokenizer beside them.
    """
    for path in build_shards(one_of(load(manifest, overrides or ()), only).manifest, out):
        write(str(path))


@app.command("show")
def show_rows(
    source: SourceArgument,
    step: Annotated[int, typer.Option("--step", min=1, metavar="N", help="Optimizer step as metrics.jsonl counts it.")],
    rows: Annotated[int | None, typer.Option("--rows", min=1, metavar="K", help="Only the first K rows.")] = None,
    overrides: SetOption = None,
    only: OnlyOption = None,
    directory: DirectoryOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Show the exact rows that an optimizer step trains on.

    Rows are a function of the manifest and the step alone, so this is the batch of every run of that manifest. Texts
    are shortened; --json gives all ids.
    """
    manifest = described(source, directory, only=only, overrides=overrides or ()).run.manifest
    # Steps are counted as they are completed: the metrics' step N trained on the batch that has N-1 before it.
    found = show(prepare(manifest), step - 1, manifest.training.batch)[:rows]
    if as_json:
        write_json([asdict(row) for row in found])
        return
    for row in found:
        _tell(row)


def _tell(row: ShownRow) -> None:
    write(f"sample {row.sample}  source {row.source}  row {row.row}  epoch {row.epoch}  {row.targets} targets")
    for piece in row.pieces:
        text = escape(piece.text)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        write(f"  document {piece.document} from token {piece.start}, {len(piece.ids)} tokens: {shown}")
