"""The program `hydra`: finds the command, imports its module, and turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

import hydra
from hydra.cli.commands import COMMANDS, Entry
from hydra.errors import HydraError


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and summary, and imports one only to run it or to show its help."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the real command in the place of its stand-in, then resolve as usual."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = loaded(args[0], COMMANDS[args[0]])
        return super().resolve_command(ctx, args)


def loaded(name: str, entry: Entry) -> Any:
    """The real command of an entry of the table."""
    module = importlib.import_module(entry.module)
    if entry.group:
        application = module.app
    else:
        application = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        application.command(name)(module.command)
    command = get_command(application)
    command.name = name
    return command


def application() -> typer.Typer:
    """The typer application, with a stand-in for every command."""
    app = typer.Typer(
        cls=LazyGroup,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Train language models, and look at what was trained. `hydra COMMAND --help` tells more.",
    )
    app.callback()(_options)
    for name, entry in COMMANDS.items():
        app.command(name, help=entry.summary)(_stand_in)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit. A HydraError is told in its four parts, and its exit code is the process's."""
    try:
        get_command(application())(args=None if arguments is None else list(arguments), prog_name="hydra")
    except HydraError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise SystemExit(error.exit_code) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hydra {hydra.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of `hydra` itself; those that do something do it when they are parsed."""


def _stand_in() -> None:
    raise AssertionError("a stand-in is replaced by its command before it could run")
