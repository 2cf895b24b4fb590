"""`hydra paths`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hydra import kernels
from hydra.cli.options import DeviceOption, JsonOption, OnlyOption, SetOption
from hydra.cli.output import write, write_json
from hydra.cli.references import one_of
from hydra.data import vocabulary_of
from hydra.kernels import Facts, adamw
from hydra.manifest import load
from hydra.model import assemble
from hydra.platform import capabilities
from hydra.training.identity import Identity
from hydra.training.options import DEFAULT_MANIFEST
from hydra.training.resolve import resolve

_ALONE = Identity(rank=0, size=1, local_rank=0, local_size=1, run_directory=None, attempt=None)


def command(
    manifest: Annotated[Path, typer.Option("--manifest", metavar="M", help="Whose model is meant.")] = DEFAULT_MANIFEST,
    device: DeviceOption = "auto",
    overrides: SetOption = None,
    only: OnlyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which implementation of each op runs here, and why.

    Each is run forward and backward on a small example and compared with its reference; one that disagrees is an error.
    """
    settings = [*(overrides or ()), *([] if device == "auto" else [f"training.device={device}"])]
    chosen = one_of(load(manifest, settings), only).manifest
    settled = resolve(chosen, _ALONE)
    able = capabilities(settled.torch_device(_ALONE))
    facts = Facts.of(able, settled.dtype, deterministic=settled.exact, masked=chosen.data.document_masks)
    report = kernels.report(
        assemble(chosen.model, vocabulary_of(chosen), facts, chosen.kernels.pin),
        able,
        compiled=settled.compile == "blocks",
        accept=chosen.kernels.accept,
        others=[adamw.use()],
    )
    if as_json:
        write_json({"headline": report.headline, "rows": report.record()})
    else:
        write(report.text())
