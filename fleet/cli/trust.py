"""`fleet trust`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, write
from fleet.cli.targets import TargetArgument
from fleet.control.report import Report
from fleet.control.trusting import Trusted, trust
from fleet.errors import FleetError, Usage

if TYPE_CHECKING:
    from fleet.ssh.trust import Presented


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="SHA256:...", help="What you know of the key from elsewhere.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Accept that the key has changed.")] = False,
) -> None:
    """Fetch a host's key without logging in, show it, and after a yes keep it as the right one.

    Hosts on the way (`jump`) come first. --yes is only taken together with --fingerprint, so that no key is ever
    accepted unseen.
    """
    invocation: Invocation = ctx.obj
    if invocation.yes and fingerprint is None:
        raise Usage(
            "--yes without --fingerprint",
            why="it would accept whatever key is shown, and with it whoever is in between",
            fix="give the fingerprint that you know from the host's owner",
            example="fleet trust box --fingerprint SHA256:... --yes",
        )
    with opened(invocation) as session:
        names = session.names(target)
        if fingerprint is not None and len(names) > 1:
            raise Usage(
                f"--fingerprint for {len(names)} hosts",
                why="every host has a key of its own",
                fix="name one host",
                example=f"fleet trust {names[0]} --fingerprint {fingerprint}",
            )
        rows: dict[str, tuple[Trusted, ...]] = {}
        errors: list[FleetError] = []
        # One after the other, because a person is asked.
        for name in names:
            try:
                rows[name] = trust(
                    session,
                    name,
                    agreed=lambda presented: _agreed(invocation, presented),
                    fingerprint=fingerprint,
                    replace=replace,
                    store=not invocation.dry_run,
                )
            except FleetError as error:
                errors.append(error if error.host is not None else error.on(name))
    report = Report(rows, tuple(errors))

    def show() -> None:
        for row in (row for found in report.rows.values() for row in found):
            write(f"{row.host}: {row.kind} {row.fingerprint} {row.outcome}")

    finish(invocation, "trust", report, show)


def _agreed(invocation: Invocation, presented: Presented) -> bool:
    host = presented.endpoint.name
    if not sys.stdin.isatty() or invocation.json:
        replacing = " --replace" if presented.verdict == "changed" else ""
        raise Usage(
            f"the key of {host} is {presented.kind} {presented.fingerprint}, and nobody can be asked about it",
            why="there is no terminal",
            fix="compare it with what you know, and give it on the command line",
            example=f"fleet trust {host}{replacing} --fingerprint {presented.fingerprint} --yes",
            host=host,
        )
    typer.echo(f"{host} ({presented.name}) shows {presented.kind} {presented.fingerprint}", err=True)
    for entry in presented.known if presented.verdict == "changed" else ():
        typer.echo(f"  it was {entry.key} ({entry.where})", err=True)
    return typer.confirm("is this the right key?", err=True)
