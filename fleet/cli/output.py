"""What commands print: results on stdout as tables or JSON, remarks and errors on stderr."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NoReturn

import typer

from fleet.cli.ending import Ended
from fleet.cli.envelope import envelope
from fleet.cli.options import Invocation
from fleet.control.report import Report, exit_code
from fleet.errors import FleetError
from hydra.errors import HydraError

#: Columns that a table may take when it is not printed on a terminal: nothing is wrapped or cut there.
_UNLIMITED: Final = 10_000


def write(text: str) -> None:
    """One text on stdout."""
    typer.echo(text)


def remark(invocation: Invocation, text: str) -> None:
    """One line on stderr, unless --quiet."""
    if not invocation.quiet:
        typer.echo(text, err=True)


def tell(error: HydraError) -> None:
    """An error on stderr, with its host if it does not begin with that."""
    host = getattr(error, "host", None)
    place = f"{host}: " if host and not error.what.startswith(host) else ""
    typer.echo(f"{place}{type(error).__name__}: {error}", err=True)


def complain(invocation: Invocation, report: Report[Any], fail: Callable[[FleetError], None] = tell) -> None:
    """The errors and warnings of a report, on stderr."""
    for error in report.errors:
        fail(error)
    for warning in report.warnings:
        remark(invocation, f"warning: {warning}")


def finish(
    invocation: Invocation, command: str, report: Report[Any], show: Callable[[], None], data: Any = None
) -> NoReturn:
    """Print a report and end the process with its code. `data` replaces the rows in JSON; `show` prints for people."""
    if invocation.json:
        typer.echo(envelope(command, report.rows if data is None else data, report.errors, report.warnings))
    else:
        show()
    complain(invocation, report)
    raise Ended(exit_code(report))


def table(
    invocation: Invocation, heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()
) -> None:
    """A table on stdout; columns named in `right` are aligned to the right. Control characters in cells are shown."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, no_color=True if not invocation.color else None)
    if not console.is_terminal:
        console = Console(highlight=False, width=_UNLIMITED)
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for head in heads:
        grid.add_column(head, justify="right" if head in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(visible(cell)) for cell in row))
    with console.capture() as captured:
        console.print(grid)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def visible(text: str) -> str:
    """Text from a host with its control characters made visible, so that it cannot drive the terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )
