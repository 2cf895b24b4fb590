"""Opens the session that a command works in."""

from __future__ import annotations

from fleet.cli.options import Invocation
from fleet.cli.output import remark
from fleet.control.session import AskPassword, Session


def opened(invocation: Invocation, *, ask_password: AskPassword | None = None) -> Session:
    """The session of the fleet.json that the options name or that lies above the working directory."""
    return Session.open(
        invocation.config,
        jobs=invocation.jobs,
        timeout=invocation.timeout,
        argv=invocation.argv,
        ask_password=ask_password,
        redactor=invocation.redactor,
        rehearsal=invocation.dry_run,
        tell=lambda text: remark(invocation, text),
    )
