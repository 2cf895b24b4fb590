"""The program `fleet`: finds the command, imports its module, and turns errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from fleet.cli.commands import COMMANDS, Entry
from fleet.cli.conversion import converted_plainly
from fleet.cli.ending import OURS, Ended
from fleet.cli.envelope import complaint, failure
from fleet.cli.options import Invocation, split
from fleet.cli.output import tell
from fleet.cli.redacting import NOBODY_READS, OutputRefused, redacted
from hydra.errors import HydraError

INTERRUPTED: Final = 130
_USAGE: Final = 2
_BUG: Final = 1
#: What the parser of arguments raises; typer has no public name for the base of its errors.
_Refused: Final[type[Exception]] = typer.BadParameter.__mro__[2]
_HELP: Final = """Train on hosts that you reach over SSH. Without a command: an overview of hosts and live runs.

Hosts are described in fleet.json (`fleet config example` prints one). The options below may stand before or after the
command; what follows `--` is passed on untouched. `fleet COMMAND --help` tells more."""


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and summary, and imports one only to run it or to show its help."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the real command in the place of its stand-in, then resolve as usual."""
        if args and args[0] in COMMANDS:
            entry = COMMANDS[args[0]]
            if isinstance(ctx.obj, Invocation) and ctx.obj.rest and not entry.rest:
                ctx.fail(f"`fleet {args[0]}` takes nothing after --, and got {shlex.join(ctx.obj.rest)}")
            self.commands[args[0]] = loaded(args[0], entry)
        return super().resolve_command(ctx, args)


def loaded(name: str, entry: Entry) -> Any:
    """The real command of an entry of the table."""
    module = importlib.import_module(entry.module)
    if entry.group:
        application = module.app
    else:
        application = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        application.command(name)(guarded(module.command))
    command = converted_plainly(get_command(application))
    command.name = name
    return command


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose errors become messages and exit codes, and whose interruption ends with 130.

    Its first argument, `ctx`, is the context.
    """

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        context: typer.Context = options["ctx"] if "ctx" in options else args[0]
        try:
            return function(*args, **options)
        except HydraError as error:
            invocation: Invocation = context.obj
            if invocation.json:
                typer.echo(failure(_name(context), [error]))
            tell(error)
            raise Ended(error.exit_code) from None
        except KeyboardInterrupt:
            if context.obj.json:
                typer.echo(complaint(_name(context), INTERRUPTED, "interrupted", "interrupted", "run it again"))
            typer.echo("interrupted", err=True)
            raise Ended(INTERRUPTED) from None

    return call


def _name(context: typer.Context) -> str:
    """The name of a command in its JSON: `config check` for `fleet config check`."""
    return context.command_path.partition(" ")[2] or "overview"


def application() -> typer.Typer:
    """The typer application, with a stand-in for every command."""
    app = typer.Typer(
        cls=LazyGroup,
        invoke_without_command=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=_HELP,
    )
    app.callback()(_options)
    for name, entry in COMMANDS.items():
        app.command(name, help=entry.summary)(_stand_in)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Closed by whoever called: what is said goes nowhere, and what is done is done all the same.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    ours, rest = split(given)
    as_json, name = "--json" in ours, next((word for word in ours if word in COMMANDS), "overview")
    if not traced(ours):
        sys.excepthook = functools.partial(_bug, name if as_json else None)
    begun = Invocation(rest=rest, argv=("fleet", *given))
    try:
        with redacted(begun.redactor):
            code = _carried_out(ours, begun, name if as_json else None)
    except OutputRefused as refused:
        code = refused.told()
        # The codes of the table are the remote command's there.
        code = OURS if name in ("run", "ssh") and code != NOBODY_READS else code
    finally:
        # The collector would go through everything that was imported once more, only for the process to end.
        gc.freeze()
    raise Ended(code)


def _carried_out(ours: list[str], begun: Invocation, json_of: str | None) -> Any:
    """Parse our own arguments and run the command; its code, unless it ends the process itself."""
    try:
        return converted_plainly(get_command(application()))(
            args=ours, prog_name="fleet", obj=begun, standalone_mode=False
        )
    except _Refused as error:
        error.show()  # type: ignore[attr-defined]
        if json_of is not None:
            words = error.format_message()  # type: ignore[attr-defined]
            typer.echo(complaint(json_of, _USAGE, "usage", words, f"fleet {json_of} --help"))
        raise Ended(_USAGE) from None
    except typer.Abort:
        # A question that was answered with the end of the input, or with Control-C.
        typer.echo("interrupted", err=True)
        raise Ended(INTERRUPTED) from None


def traced(arguments: Sequence[str]) -> bool:
    """Whether the options ask for traces of bugs: -vv, or -v twice."""
    short = "".join(word[1:] for word in arguments if word.startswith("-") and not word.startswith("--"))
    return short.count("v") + arguments.count("--verbose") > 1


def _bug(json_of: str | None, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one line what broke, in JSON too if that was asked of a command; Python then exits with 1."""
    what = f"a bug in fleet: {kind.__name__}: {error}"
    if json_of is not None:
        with contextlib.suppress(OSError):
            typer.echo(complaint(json_of, _BUG, "bug", what, "run it again with -vv for the trace, and report it"))
    typer.echo(f"{what}\nrun it again with -vv for the trace, and report it", err=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        import hydra

        typer.echo(f"fleet {hydra.__version__}")
        raise typer.Exit


def _options(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The fleet.json; looked for upwards from here when absent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object (streams: one a line).")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No remarks and no progress on stderr.")] = False,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="More on stderr; -vv with traces.")] = 0,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.")] = False,
    timeout: Annotated[
        float | None, typer.Option(metavar="SEC", min=0.1, help="Limit for the whole command, in seconds.")
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Hosts worked on at once.")] = 32,
    watch: Annotated[
        float | None, typer.Option(metavar="SEC", min=0.5, help="Without a command: repeat the overview.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""
    ctx.obj = replace(
        ctx.obj,
        config=config,
        json=as_json,
        dry_run=dry_run,
        yes=yes,
        quiet=quiet,
        verbose=verbose,
        color=not no_color,
        timeout=timeout,
        jobs=jobs,
    )
    if ctx.invoked_subcommand is None:
        if ctx.obj.rest:
            ctx.fail(f"the overview takes nothing after --, and got {shlex.join(ctx.obj.rest)}")
        overview = importlib.import_module("fleet.cli.overview")
        guarded(overview.command)(ctx, watch)
    elif watch is not None:
        raise typer.BadParameter("it belongs to the overview, `fleet --watch SEC`", param_hint="--watch")


def _stand_in() -> None:
    raise AssertionError("a stand-in is replaced by its command before it could run")
