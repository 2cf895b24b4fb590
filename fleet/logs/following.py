"""Following a growing log through any number of disconnections, without a lost or repeated line.

The position is behind the last whole line that was given; after a cut, reading goes on exactly there. Silence is not
taken for an end: after some seconds of it the host is asked for the run's state, whether the file is still there, and
whether it grew without the stream saying so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from fleet.logs.channel import Place
from fleet.logs.follower import QUIET, Follower
from fleet.logs.framing import FrameFramer, RowFramer
from fleet.logs.records import Record, RunState
from fleet.ssh import Deadline, Transport

#: Takes the bytes of whole lines as they are passed: host, run, offset of the first byte, bytes.
Keep = Callable[[str, str, int, bytes], None]


def follow(
    connect: Callable[[], Transport],
    run_dir: str,
    *,
    state_of: Callable[[], RunState | None],
    cursor: int,
    stop: threading.Event,
    deadline: Deadline,
    until_now: bool = False,
    keep: Keep | None = None,
    python: str = "python3",
    quiet: float = QUIET,
) -> Iterator[Record]:
    """The frames of a run's log from a position on, as they are written, until the run has ended or vanished.

    With `until_now` it does not wait: what is there is given, and the iteration ends without a record that says so.

    `connect` gives a living connection and is called again after a cut; `run_dir` is the run's directory on the host
    (absolute, or from `~/`); `state_of` asks the host where the run is in its life (None: there is no such run).
    `last_lines` gives a position near the end. Setting `stop` ends the iteration within about 0.2 s.

    The last record is Ended, LostRun or Vanished, unless it was stopped. Raises Usage for a position behind the end of
    the log, DeadlinePassed, and whatever `connect` and `state_of` raise, but for Unreachable and deadlines of their
    own, after which it goes on.
    """
    place = Place("log", f"{run_dir}/log", python)
    following = Follower(connect, place, FrameFramer(cursor), state_of, stop, deadline, quiet)
    following.keep, following.until_now = _keeper(keep, run_dir), until_now
    return following.records()


def follow_rows(
    connect: Callable[[], Transport],
    path: str,
    *,
    state_of: Callable[[], RunState | None],
    cursor: int,
    stop: threading.Event,
    deadline: Deadline,
    until_now: bool = False,
    python: str = "python3",
    quiet: float = QUIET,
) -> Iterator[Record]:
    """The same for a file of lines, such as `events.jsonl`: Row records, and the offset in the file is the position."""
    following = Follower(connect, Place("file", path, python), RowFramer(cursor), state_of, stop, deadline, quiet)
    following.until_now = until_now
    return following.records()


def _keeper(keep: Keep | None, run_dir: str) -> Callable[[str, int, bytes], None]:
    """The sink of one run."""
    run = run_dir.rstrip("/").rpartition("/")[2]
    if keep is None:
        return lambda host, offset, data: None
    return lambda host, offset, data: keep(host, run, offset, data)
