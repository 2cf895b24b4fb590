"""Logs and events of runs on hosts: the last lines, and following through any number of disconnections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet.control.finding import Found, default_run
from fleet.control.report import Report
from fleet.control.session import Session
from fleet.errors import NotFound
from fleet.logs import Ended, Failed, Last, LostRun, Record, RunState, Since, follow, follow_rows, last_lines, merge
from fleet.ssh import Transport

#: Seconds to ask a host something small.
_ASK: Final = 60.0
#: Seconds that one `--follow` may last.
FOLLOW_LIMIT: Final = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines."""

    lines: int = 50
    since: Since | None = None
    rank: int | None = None
    grep: str | None = None


def runs_to_read(session: Session, names: Sequence[str], reference: str | None) -> Report[Found]:
    """The run of each host: the named one, else the live one, else the newest.

    A host without it is left out, and is a warning, unless no host has it: then it is an error of each.
    """
    report = session.each(names, lambda name, deadline: default_run(session, name, reference, deadline), _ASK)
    if not report.rows:
        return report
    absent = tuple(error.what for error in report.errors if isinstance(error, NotFound))
    errors = tuple(error for error in report.errors if not isinstance(error, NotFound))
    return Report(report.rows, errors, (*report.warnings, *absent))


def last(session: Session, found: Found, wanted: Wanted) -> Last:
    """The last lines of a run's log."""
    since = wanted.since.seconds if wanted.since is not None else None
    return last_lines(
        asker(session, found.host),
        session.instance(found.host).deploy_dir,
        found.id,
        wanted.lines,
        rank=wanted.rank,
        grep=wanted.grep,
        since_seconds=since,
    )


def following(
    session: Session, cursors: Mapping[str, tuple[Found, int]], stop: threading.Event, *, until_now: bool = False
) -> Iterator[tuple[str, Record | Failed]]:
    """The logs of runs from a position on, merged by arrival, until all have ended; what was read is kept here too.

    With `until_now` only what is there already.
    """
    cache = session.logs

    def follower(found: Found, cursor: int) -> Callable[[threading.Event], Iterator[Record]]:
        return lambda stopped: follow(
            connector(session, found.host),
            run_dir(session, found),
            state_of=state_asker(session, found),
            cursor=cursor,
            stop=stopped,
            deadline=session.deadline(FOLLOW_LIMIT),
            until_now=until_now,
            keep=lambda host, run, offset, data: cache.append(host, run, offset, data, session.redactor.data),
            python=session.python(found.host),
        )

    return merge({name: follower(found, cursor) for name, (found, cursor) in cursors.items()}, stop)


def following_events(
    session: Session, cursors: Mapping[str, tuple[Found, int]], stop: threading.Event, *, until_now: bool = False
) -> Iterator[tuple[str, Record | Failed]]:
    """The events of runs from a byte position on, until all have ended; with `until_now` those that are there."""

    def follower(found: Found, cursor: int) -> Callable[[threading.Event], Iterator[Record]]:
        def records(stopped: threading.Event) -> Iterator[Record]:
            yield from follow_rows(
                connector(session, found.host),
                f"{run_dir(session, found)}/events.jsonl",
                state_of=state_asker(session, found),
                cursor=cursor,
                stop=stopped,
                deadline=session.deadline(FOLLOW_LIMIT),
                until_now=until_now or not found.live,
                python=session.python(found.host),
            )
            if not until_now and not found.live and not stopped.is_set():
                # Nothing in the file says that it is over, and silence takes long to be understood.
                yield _end_of(found)

        return records

    return merge({name: follower(found, cursor) for name, (found, cursor) in cursors.items()}, stop)


def _end_of(found: Found) -> Record:
    """How a run that lives no more has ended."""
    if found.state == "lost":
        return LostRun(str(found.facts["reason"] or "its supervisor is gone and left no record of an end"))
    return Ended(found.state, found.facts["exit"])


def connector(session: Session, name: str) -> Callable[[], Transport]:
    """Gives a living connection to a host, a new one after a cut."""
    return lambda: session.transport(name, session.deadline(_ASK))


def asker(session: Session, name: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Asks the agent of a host."""

    def ask(command: str, request: dict[str, Any]) -> dict[str, Any]:
        deadline = session.deadline(_ASK)
        return session.agent(name, deadline).call(command, request, deadline=deadline)

    return ask


def state_asker(session: Session, found: Found) -> Callable[[], RunState | None]:
    """Asks a host where a run is in its life."""
    ask = asker(session, found.host)

    def state() -> RunState | None:
        request = {"deploy_dir": session.instance(found.host).deploy_dir, "run": found.id}
        for facts in ask("runs", request)["runs"]:
            if facts["id"] == found.id:
                return RunState(facts["state"], facts.get("exit"), facts.get("reason") or "")
        return None

    return state


def run_dir(session: Session, found: Found) -> str:
    """The run's directory on its host; `~` is expanded there."""
    return f"{session.instance(found.host).deploy_dir.rstrip('/')}/runs/{found.id}"
