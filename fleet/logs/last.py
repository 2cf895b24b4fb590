"""The last lines of a log, found on the host by reading backwards, and where following goes on behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleet.errors import RemoteFailed
from fleet.logs.records import Line
from fleet.remote.frames import parse

#: The agent on the host: a command and its request in, the answer out.
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Last:
    """The end of a log."""

    lines: tuple[Line, ...]
    """Oldest first."""
    cursor: int
    """Position behind the last whole line of the log, whether or not it was asked for."""
    complete: bool
    """False if the search ended before it had all that was asked for, because its time was over."""


def last_lines(
    ask: Ask,
    deploy_dir: str,
    run: str,
    count: int,
    *,
    rank: int | None = None,
    grep: str | None = None,
    since_seconds: float | None = None,
    budget: float = 20.0,
) -> Last:
    """The last `count` frames of a run's log that pass the filters and are no older than `since_seconds`.

    Ages are measured by the host's own clock. `budget` is how many seconds the host may search. Raises NotFound for a
    run that is not there, Usage for a malformed `grep`, RemoteFailed for an answer of another form.
    """
    request: dict[str, Any] = {"deploy_dir": deploy_dir, "run": run, "count": count, "budget": budget}
    given = {"rank": rank, "grep": grep, "since_seconds": since_seconds}
    request |= {name: value for name, value in given.items() if value is not None}
    answer = ask("tail", request)
    try:
        lines = tuple(Line(parse(text.encode("utf-8")), _offset(offset)) for offset, text in answer["frames"])
        return Last(lines, _offset(answer["cursor"]), bool(answer["complete"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RemoteFailed(
            f"the last lines of {run} cannot be read: {str(error)[:200]}",
            why="the host's answer has another form than the agent's",
            fix="run it again; if it stays, report it with this text",
            example=f"fleet logs lab-a --run {run}",
        ) from error


def _offset(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(f"not an offset: {value!r}")
    return value
