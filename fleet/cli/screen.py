"""What a followed log looks like: lines on stdout, all that happens to the following on stderr, or all as JSON."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Collection

from fleet.cli.envelope import plain, problem
from fleet.cli.options import Invocation
from fleet.cli.output import remark, tell
from fleet.control.finding import Found
from fleet.control.following import following
from fleet.control.report import code_of
from fleet.control.session import Session
from fleet.errors import FleetError, RemoteFailed
from fleet.logs import Ended, Failed, Filter, Gap, Line, LostRun, Printer, Record, Vanished, message, to_json
from fleet.redaction import Redactor

#: Terminal states that are no failure.
GOOD = ("completed", "stopped")


class Screen:
    """Prints the records of one or several runs and remembers how each of them ended."""

    def __init__(
        self, invocation: Invocation, redactor: Redactor, chosen: Filter, *, raw: bool = False, prefixed: bool = False
    ) -> None:
        """`raw` leaves escape sequences in; `prefixed` begins lines with the host and the rank."""
        self.invocation = invocation
        self._redactor, self._filter = redactor, chosen
        self._printer = Printer(self._write, raw=raw or not sys.stdout.isatty(), prefixed=prefixed)
        self._codes: dict[str, int] = {}

    def takes(self, line: Line) -> bool:
        """Whether a line is one that was asked for."""
        return self._filter.takes(line.frame)

    def show(self, name: str, record: Record | Failed) -> None:
        """One record of a host."""
        if isinstance(record, Line):
            if self.takes(record):
                self._line(name, record)
            return
        if isinstance(record, Failed):
            self.fail(record.error.on(record.error.host or name))
            return
        said = message(record)
        if said is not None:
            remark(self.invocation, f"{name}: {said}")
        if self.invocation.json:
            self._object(plain(to_json(record, name)))
        self._codes[name] = max(self._codes.get(name, 0), code(record))

    def fail(self, error: FleetError) -> None:
        """What ended the following of a host, or kept it from beginning."""
        tell(error)
        if self.invocation.json:
            self._object({"kind": "error", "host": error.host, "error": problem(error)})
        self._codes[str(error.host)] = error.exit_code

    def follow(
        self,
        session: Session,
        cursors: dict[str, tuple[Found, int]],
        stop: threading.Event,
        *,
        until_now: bool = False,
    ) -> None:
        """Follow runs to their ends; with `until_now`, only to where their logs are now."""
        try:
            for name, record in following(session, cursors, stop, until_now=until_now):
                self.show(name, record)
        finally:
            stop.set()
            self._printer.finish()

    def code(self, names: Collection[str]) -> int:
        """The exit code when these hosts, and those that failed, were all that was asked for."""
        failed = {name: found for name, found in self._codes.items() if found}
        return code_of(list(failed.values()), succeeded=len(set(names) - failed.keys()))

    def _line(self, name: str, record: Line) -> None:
        if self.invocation.json:
            self._object(to_json(record, name))
        else:
            self._printer.line(record.frame, name)

    def _object(self, value: dict[str, object]) -> None:
        self._write(json.dumps(value).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        # The host took its secrets out already; this is for those that only this side knows.
        sys.stdout.buffer.write(self._redactor.data(data))
        sys.stdout.buffer.flush()


def code(record: Record) -> int:
    """What the end of a run means for the exit code; 0 for a record that is no end."""
    if isinstance(record, Ended):
        return 0 if record.state in GOOD else RemoteFailed.exit_code
    return RemoteFailed.exit_code if isinstance(record, LostRun | Vanished | Gap) else 0
