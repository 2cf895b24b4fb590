"""`fleet ssh`."""

from __future__ import annotations

import typer

from fleet.cli.ending import OURS, Ended
from fleet.cli.envelope import failure
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import tell
from fleet.cli.targets import TargetArgument
from fleet.errors import FleetError, Usage
from fleet.ssh import Cmd


def command(ctx: typer.Context, target: TargetArgument = None) -> None:
    """Open a shell on a host, or run one command there with a terminal: fleet ssh TARGET [-- CMD...].

    This process becomes OpenSSH's client, with our known-hosts file and strict checking. The exit code is the remote
    one, and 255 when the connection itself failed.
    """
    invocation: Invocation = ctx.obj
    cmd = Cmd(invocation.rest) if invocation.rest else None
    try:
        with opened(invocation) as session:
            names = session.names(target)
            if len(names) != 1:
                raise Usage(
                    f"{target} means {len(names)} hosts",
                    why="a shell is on one of them",
                    fix="name one host",
                    example=f"fleet ssh {names[0]}",
                )
            status = session.enter(names[0], cmd)
    except FleetError as error:
        if invocation.json:
            typer.echo(failure("ssh", [error]))
        tell(error)
        raise Ended(error.exit_code if error.exit_code == Usage.exit_code else OURS) from None
    raise Ended(status)
