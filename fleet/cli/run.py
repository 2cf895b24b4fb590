"""`fleet run`."""

from __future__ import annotations

import os
import select
import shlex
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Final, NoReturn

import typer

from fleet.cli.ending import OURS, Ended
from fleet.cli.envelope import envelope, failure
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import complain, finish, tell, write
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.commands import RemoteCommand, run, shell
from fleet.control.report import Report, exit_code
from fleet.errors import FleetError, RemoteFailed, Usage
from fleet.ssh import Stream

#: Seconds to wait for our own input before output is looked at again.
_MOMENT: Final = 0.02


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    cwd: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder to run in; the login folder if absent.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="A variable for it. Not visible in the host's process list.")
    ] = None,
    as_shell: Annotated[bool, typer.Option("--shell", help="Take one text and give it to the remote shell.")] = False,
    stdin: Annotated[bool, typer.Option("--stdin", help="Pass our stdin on (one host).")] = False,
) -> None:
    """Run a command on hosts: fleet run TARGET -- CMD...

    Arguments arrive as they were given here. On one host the exit code is the command's own (128 + n after a signal),
    and 255 when fleet itself failed; on several hosts lines carry the host's name.
    """
    invocation: Invocation = ctx.obj
    try:
        wanted = RemoteCommand(_argv(invocation.rest, as_shell), cwd, _variables(env or []))
        with opened(invocation) as session:
            names = session.names(target, everything=everywhere)
            if stdin and len(names) > 1:
                raise Usage(
                    f"--stdin with {len(names)} hosts",
                    why="input can be read once",
                    fix="name one host",
                    example="fleet run box --stdin -- tar -x < code.tar",
                )
            if invocation.dry_run:
                _plan(invocation, names, wanted)
            printer = _Printer(len(names) > 1, invocation.json)
            report = run(session, names, wanted, printer.take, _input if stdin else None)
            printer.flush()
    except FleetError as error:
        if invocation.json:
            typer.echo(failure("run", [error]))
        tell(error)
        raise Ended(OURS if error.exit_code != Usage.exit_code else error.exit_code) from None
    whole = replace(report, errors=(*report.errors, *(_failed(name, rc) for name, rc in report.rows.items() if rc)))
    if invocation.json:
        rows = {name: {"rc": rc, **printer.collected(name)} for name, rc in report.rows.items()}
        typer.echo(envelope("run", rows, whole.errors, whole.warnings))
    if len(names) == 1:
        complain(invocation, report)
        raise Ended(OURS if report.errors else report.rows[names[0]])
    complain(invocation, whole)
    raise Ended(exit_code(whole))


def _failed(name: str, rc: int) -> RemoteFailed:
    return RemoteFailed(
        f"{name}: the command ended with status {rc}",
        why="a status other than 0 means failure; above 128 it is a signal, 128 + its number",
        fix="see what it said",
        example=f"fleet run {name} -- ...",
        host=name,
    )


def _plan(invocation: Invocation, names: Sequence[str], wanted: RemoteCommand) -> NoReturn:
    """Print what would run where; no host is asked."""
    wanted.preamble()
    plan = Report({name: {"argv": wanted.argv, "cwd": wanted.cwd, "env": sorted(wanted.env)} for name in names})

    def show() -> None:
        for name in names:
            place = f" in {wanted.cwd}" if wanted.cwd else ""
            variables = f" with {', '.join(sorted(wanted.env))}" if wanted.env else ""
            write(f"{name}: {shlex.join(wanted.argv)}{place}{variables}")

    finish(invocation, "run-plan", plan, show)


def _argv(words: tuple[str, ...], as_shell: bool) -> tuple[str, ...]:
    if not words:
        raise Usage(
            "there is no command",
            why="what follows -- is run, and nothing does",
            fix="put the command after --",
            example="fleet run box -- df -h",
        )
    if not as_shell:
        return words
    if len(words) != 1:
        raise Usage(
            f"--shell takes one text, not {len(words)}",
            why="joining words with spaces would change what they mean",
            fix="quote the whole command line",
            example="fleet run box --shell -- 'ls *.log | wc -l'",
        )
    return shell(words[0])


def _variables(pairs: list[str]) -> dict[str, str]:
    held: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Usage(
                f"--env {name}: there is no =",
                why="a variable needs a value",
                fix="give NAME=VALUE",
                example="--env LEVEL=debug",
            )
        held[name] = value
    return held


def _input() -> Iterator[bytes]:
    """Our stdin as it comes; an empty piece when there is nothing yet, so that output is shown meanwhile."""
    descriptor = sys.stdin.fileno()
    while True:
        if not select.select([descriptor], [], [], _MOMENT)[0]:
            yield b""
        elif piece := os.read(descriptor, 1 << 16):
            yield piece
        else:
            return


class _Printer:
    """Takes output of several hosts: passes it on, in whole lines with the host's name, or collects it for JSON."""

    def __init__(self, prefixed: bool, collecting: bool) -> None:
        self._prefixed, self._collecting = prefixed, collecting
        self._held: dict[tuple[str, Stream], bytes] = {}
        self._guard = threading.Lock()

    def take(self, name: str, stream: Stream, piece: bytes) -> None:
        """Output of a host, from any thread."""
        with self._guard:
            if not self._prefixed and not self._collecting:
                self._write(stream, piece)
                return
            held = self._held.get((name, stream), b"") + piece
            if self._collecting:
                self._held[name, stream] = held
                return
            *lines, rest = held.split(b"\n")
            self._held[name, stream] = rest
            for line in lines:
                self._write(stream, name.encode() + b" | " + line + b"\n")

    def flush(self) -> None:
        """Print what ended without a newline."""
        if self._collecting:
            return
        for (name, stream), rest in self._held.items():
            if rest:
                self._write(stream, name.encode() + b" | " + rest + b"\n")

    def collected(self, name: str) -> dict[str, str]:
        """What a host said, as text."""
        return {stream: self._held.get((name, stream), b"").decode("utf-8", "replace") for stream in ("out", "err")}

    @staticmethod
    def _write(stream: Stream, data: bytes) -> None:
        target = sys.stdout.buffer if stream == "out" else sys.stderr.buffer
        target.write(data)
        target.flush()
