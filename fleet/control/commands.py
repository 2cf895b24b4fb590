"""Commands of the user's own on hosts: `fleet run`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fleet.control.report import Report
from fleet.control.session import Session
from fleet.errors import DeadlinePassed, FleetError, Usage
from fleet.ssh import Cmd, Deadline, Stream

#: Seconds that a command may take when nobody said otherwise.
LIMIT: Final = 24 * 3600.0
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class RemoteCommand:
    """What to run. `env` holds values that must not be seen by others of the host: they travel over stdin."""

    argv: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def cmd(self) -> Cmd:
        """The command, wrapped so that it takes its variables from stdin and ends when we do."""
        return Cmd(Cmd.script("run-guarded.sh", *self.argv).argv, self._folder(), held=True)

    def fed(self) -> Cmd:
        """The command with a stdin of its own, wrapped so that it takes its variables from there first."""
        return Cmd(Cmd.script("run-with-env.sh", *self.argv).argv, self._folder())

    def preamble(self) -> bytes:
        """What stands first on stdin. Raises Usage for a variable that cannot be sent."""
        for name, value in self.env.items():
            if not _NAME.fullmatch(name) or "\n" in value or "\0" in value:
                raise Usage(
                    f"--env {name}: cannot be sent",
                    why="a name is letters, digits and _, and a value is one line",
                    fix="give NAME=VALUE",
                    example="fleet run box --env LEVEL=debug -- ./tool",
                )
        text = "".join(f"{name}={value}\n" for name, value in self.env.items()) + "\n"
        # Bytes of an argument that are not UTF-8 arrive as they were given.
        return text.encode(errors="surrogateescape")

    def _folder(self) -> str | None:
        """Commands begin in the login folder, so a path below `~` is one relative to it."""
        if self.cwd in (None, "~", "~/"):
            return None
        assert self.cwd is not None
        return self.cwd.removeprefix("~/")


def shell(text: str) -> tuple[str, ...]:
    """The arguments that hand one text to the remote shell."""
    return ("sh", "-c", text)


def run(
    session: Session,
    names: Sequence[str],
    command: RemoteCommand,
    sink: Callable[[str, Stream, bytes], None],
    stdin: Callable[[], Iterable[bytes]] | None = None,
) -> Report[int]:
    """Run a command on hosts; output goes to `sink` with the host's name as it comes. The rows are exit statuses.

    A command without `stdin` is ended on its host when the connection closes before it is done, for whatever reason;
    one with `stdin` sees the end of its input then, and decides for itself.
    """
    cmd, preamble = command.cmd() if stdin is None else command.fed(), command.preamble()
    begun: set[str] = set()

    def on_host(name: str, deadline: Deadline) -> int:
        transport = session.transport(name, deadline)
        begun.add(name)
        if stdin is None:
            return transport.exec(
                cmd, stdin=preamble, deadline=deadline, sink=lambda stream, piece: sink(name, stream, piece)
            ).rc
        chunks = (piece for part in ([preamble], stdin()) for piece in part)
        return transport.stream_in(
            cmd, chunks, deadline=deadline, sink=lambda stream, piece: sink(name, stream, piece)
        ).rc

    report = session.each(names, on_host, LIMIT)
    late = [_too_late(error, stdin is None) if error.host in begun else error for error in report.errors]
    report = replace(report, errors=tuple(late))
    words = [f"{name} {rc}" for name, rc in report.rows.items()]
    words += [f"{error.host} failed: {error.what}" for error in report.errors]
    # Only on this side: a host on which nothing was deployed is to stay as it was.
    warnings = session.record("run", names, "; ".join(words), hide=tuple(command.env.values()))
    return Report(report.rows, report.errors, warnings)


def _too_late(error: FleetError, guarded: bool) -> FleetError:
    """An error, with what becomes of the command on the host if it is that time ran out."""
    if not isinstance(error, DeadlinePassed):
        return error
    name = str(error.host)
    return DeadlinePassed(
        error.what,
        why="it is ended there: TERM to its process group now, KILL 5 s later"
        if guarded
        else f"a command with --stdin only sees the end of its input, and may still be running on {name}",
        fix="give it more time" if guarded else "look whether it runs, and end it there",
        example=f"fleet run {name} --timeout 600 -- ..." if guarded else f"fleet run {name} -- ps -fu USER",
        host=name,
    )
