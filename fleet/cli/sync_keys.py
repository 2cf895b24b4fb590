"""`fleet sync-keys`."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, write
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.access import public_key, sync_keys
from fleet.control.report import Report
from fleet.errors import Usage


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE.pub", help="Public key; that of the configured identity if absent.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the key out instead.")] = False,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="Log in with a password, which is asked for and kept nowhere.")
    ] = False,
) -> None:
    """Add a public key to authorized_keys of hosts, if it is not there. Other lines stay exactly as they are."""
    invocation: Invocation = ctx.obj
    if ask_password and not sys.stdin.isatty():
        raise Usage(
            "--ask-password without a terminal",
            why="a password is typed by a person and never given in a command line, a file or a pipe",
            fix="run it in a terminal",
            example=f"fleet sync-keys {target or 'box'} --ask-password",
        )
    with opened(invocation, ask_password=getpass.getpass if ask_password else None) as session:
        names = session.names(target, everything=everywhere)
        if invocation.dry_run:
            planned = Report({name: public_key(session, name, key) for name in names})
            verb = "remove" if remove else "add"

            def show_plan() -> None:
                for name, found in planned.rows.items():
                    write(f"{name}: {verb} {found.kind} {found.blob[:24]}... {found.comment}")

            finish(invocation, "sync-keys-plan", planned, show_plan)
        report = sync_keys(session, names, key, remove=remove)

        def show() -> None:
            for name, row in report.rows.items():
                write(f"{name}: {row}")

        finish(invocation, "sync-keys", report, show)
