"""`fleet config check | show | schema | example`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fleet.cli.application import guarded
from fleet.cli.ending import Ended
from fleet.cli.envelope import envelope
from fleet.cli.options import Invocation
from fleet.cli.output import table, write
from fleet.cli.targets import complete_target

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True,
    help="Check and show fleet.json. No host is contacted.",
)  # fmt: skip


@app.command("check")
@guarded
def check(ctx: typer.Context) -> None:
    """Validate fleet.json; all mistakes at once, each with its line and the nearest right word."""
    from fleet.inventory import find, load

    invocation: Invocation = ctx.obj
    path = find(Path.cwd(), invocation.config)
    inventory = load(path)
    if invocation.json:
        data = {"path": path, "instances": list(inventory.instances), "groups": list(inventory.groups)}
        typer.echo(envelope("config-check", data))
    else:
        write(f"{path} is valid: {len(inventory.instances)} instances, {len(inventory.groups)} groups")
    raise Ended(0)


@app.command("show")
@guarded
def show(
    ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_target)]
) -> None:
    """Every setting of an instance, and where its value comes from."""
    from fleet.inventory import find, load, resolve, view

    invocation: Invocation = ctx.obj
    inventory = load(find(Path.cwd(), invocation.config))
    rows = {one.name: view(one) for one in resolve(inventory, name, purpose="look").instances}
    if invocation.json:
        typer.echo(envelope("config-show", rows))
    else:
        for found in rows.values():
            table(invocation, ("setting", "value", "from"), [(row.setting, row.value, row.origin) for row in found])
    raise Ended(0)


@app.command("schema")
@guarded
def schema(
    ctx: typer.Context,
    outputs: Annotated[bool, typer.Option("--outputs", help="Of what --json prints instead.")] = False,
) -> None:
    """The JSON Schema of fleet.json, for editors. With --json it stands in the object that every command prints."""
    if outputs:
        from fleet.cli.outputs import schemas

        found = schemas()
    else:
        from fleet.inventory import schema as inventory_schema

        found = inventory_schema()
    invocation: Invocation = ctx.obj
    write(envelope("config-schema", found) if invocation.json else json.dumps(found, indent=2))
    raise Ended(0)


@app.command("example")
@guarded
def example(ctx: typer.Context) -> None:
    """An example of fleet.json to begin with."""
    from fleet.inventory import example as text

    invocation: Invocation = ctx.obj
    write(envelope("config-example", json.loads(text())) if invocation.json else text().rstrip("\n"))
    raise Ended(0)
