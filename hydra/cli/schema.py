"""`hydra schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from hydra.cli.output import write, write_json
from hydra.errors import UsageError
from hydra.manifest.documentation import json_schema, markdown


def command(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/manifest.md.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Schema, which is the default.")] = False,
) -> None:
    """Print every manifest setting, for editors or for people."""
    if as_markdown and as_json:
        raise UsageError(
            "--markdown and --json were given together",
            why="they are two forms of the same page",
            fix="choose one of them",
            example="hydra schema --json > manifest.schema.json",
        )
    if as_markdown:
        write(markdown().rstrip("\n"))
    else:
        write_json(json_schema())
