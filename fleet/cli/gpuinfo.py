"""`fleet gpuinfo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fleet.cli.envelope import plain
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, remark, table, write
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.hardware import gpu_inventories


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write HOST.json files into this folder.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="With what the host's tools said, word by word.")] = False,
) -> None:
    """Inventory of hosts: driver, CUDA, GPUs with clocks, limits, ECC and links; kernel, processor, memory, disk."""
    invocation: Invocation = ctx.obj
    with opened(invocation) as session:
        report = gpu_inventories(session, session.names(target, everything=everywhere), full=full)
    if save is not None and not invocation.dry_run:
        save.mkdir(parents=True, exist_ok=True)
        for name, row in report.rows.items():
            (save / f"{name}.json").write_text(json.dumps(plain(row), indent=2) + "\n", "utf-8")
            remark(invocation, f"written {save / f'{name}.json'}")

    def show() -> None:
        for name, row in report.rows.items():
            write(name)
            table(invocation, ("", ""), row.rows())

    finish(invocation, "gpuinfo", report, show)
