"""`hydra report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hydra.cli.options import RUNS, DirectoryOption, RunArgument
from hydra.cli.output import write
from hydra.report import write as write_page
from hydra.runs import RunDirectory


def command(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write; report.html in the run if absent.")
    ] = None,
    directory: DirectoryOption = RUNS,
) -> None:
    """Write one run as one self-contained HTML page.

    It shows curves, samples, events, checkpoints, the manifest with its origins and the environment. It needs no
    network, no server and no Hydra: open it in a browser, keep it, send it. A run that still trains can be reported at
    any time.
    """
    write(str(write_page(RunDirectory.find(directory, run), out)))
