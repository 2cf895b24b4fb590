"""What commands print: text and tables for people, JSON for programs. Results go to stdout, remarks to stderr."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydra.runs import encode_document, escape

#: Columns that a table may take when it is not printed on a terminal: nothing is wrapped or cut there.
_UNLIMITED = 10_000


def write(text: str) -> None:
    """One text on stdout, as it is."""
    typer.echo(text)


def remark(text: str) -> None:
    """One line on stderr, which a reader of the results does not get."""
    typer.echo(text, err=True)


def shown(text: str) -> str:
    """Text with its control characters made visible, line breaks and tabs kept: safe to print on a terminal."""
    return "".join(part if part in "\n\t" else escape(part) for part in text)


def write_json(value: object) -> None:
    """A JSON document on stdout; numbers that are not finite are the strings that run directories use."""
    typer.echo(encode_document(value).decode("ascii"), nl=False)


def write_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> None:
    """A table on stdout; columns named in `right` are aligned to the right. Control characters in cells are shown."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_UNLIMITED)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(escape(cell)) for cell in row))
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
