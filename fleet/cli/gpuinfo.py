"""`fleet gpuinfo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fleet.cli.envelope import plain
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, remark, table, visible, write
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.hardware import gpu_inventories
from fleet.errors import Usage
from fleet.health import GpuInventory


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
        for name, row in report.rows.items():
            _keep(save, name, row)
            remark(invocation, f"written {save / f'{name}.json'}")

    def show() -> None:
        for name, row in report.rows.items():
            write(name)
            table(invocation, ("", ""), row.rows())
            for title, text in row.raw.items():
                write(f"\n--- {title}\n{visible(text.rstrip())}")

    data = {name: {**row.to_json(), **({"raw": row.raw} if full else {})} for name, row in report.rows.items()}
    finish(invocation, "gpuinfo", report, show, data=data)


def _keep(folder: Path, name: str, row: GpuInventory) -> None:
    """Write an inventory into a folder, and what the tools said into one of its own below. Raises Usage."""
    texts = {f"{name}.json": json.dumps(plain(row), indent=2) + "\n"}
    texts |= {f"{name}/{Path(title).name}": text for title, text in row.raw.items()}
    try:
        for place, text in texts.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise Usage(
            f"{error.filename or folder}: {error.strerror}",
            why="--save names the folder for the inventories",
            fix="name a folder that can be written",
            example=f"fleet gpuinfo {name} --save inventories",
        ) from error
