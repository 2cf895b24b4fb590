"""Following a growing log through any number of disconnections, without a lost or repeated line.

The position is behind the last whole line that was given; after a cut, reading goes on exactly there. Silence is not
taken for an end: after some seconds of it the host is asked for the run's state, whether the file is still there, and
whether it grew without the stream saying so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from fleet.errors import RemoteFailed, Unreachable, Usage
from fleet.logs import channel as statuses
from fleet.logs.channel import Channel, Opened, Place, Status, lost
from fleet.logs.framing import FrameFramer, RowFramer
from fleet.logs.records import Ended, Line, LostRun, Reconnecting, Record, RunState, Torn, Vanished
from fleet.remote.frames import END, NEXT
from fleet.ssh import Deadline, Transport
from fleet.ssh.backoff import Backoff

#: Takes the bytes of whole lines as they are passed: host, run, offset of the first byte, bytes.
Keep = Callable[[str, str, int, bytes], None]

#: States of a run that is alive; every other one is final.
LIVE: Final = frozenset({"starting", "running", "stopping", "backoff"})
#: Seconds of silence after which the host is asked, doubled each time up to the last.
QUIET: Final = 5.0
_LONGEST_QUIET: Final = 30.0
#: The same when an attempt has ended: the state follows at once, or another attempt within a minute or two.
_SOON: Final = 0.3
_BETWEEN_ATTEMPTS: Final = 2.0
#: Seconds between looks at `stop` and the deadline.
_TICK: Final = 0.2
#: Seconds that a segment may take to appear after a frame named it.
_TURN: Final = 5.0


def follow(
    connect: Callable[[], Transport],
    run_dir: str,
    *,
    state_of: Callable[[], RunState | None],
    cursor: int,
    stop: threading.Event,
    deadline: Deadline,
    keep: Keep | None = None,
    python: str = "python3",
    quiet: float = QUIET,
) -> Iterator[Record]:
    """The frames of a run's log from a position on, as they are written, until the run has ended or vanished.

    `connect` gives a living connection and is called again after a cut; `run_dir` is the run's directory on the host
    (absolute, or from `~/`); `state_of` asks the host where the run is in its life (None: there is no such run).
    `last_lines` gives a position near the end. Setting `stop` ends the iteration within 0.2 s.

    The last record is Ended, LostRun or Vanished, unless it was stopped. Raises Usage for a position behind the end of
    the log, DeadlinePassed, and whatever `connect` and `state_of` raise, but for Unreachable, which is retried.
    """
    place = Place("log", f"{run_dir}/log", python)
    following = _Following(connect, place, FrameFramer(cursor), state_of, stop, deadline, quiet)
    following.keep = _keeper(keep, run_dir)
    return following.records()


def follow_rows(
    connect: Callable[[], Transport],
    path: str,
    *,
    state_of: Callable[[], RunState | None],
    cursor: int,
    stop: threading.Event,
    deadline: Deadline,
    python: str = "python3",
    quiet: float = QUIET,
) -> Iterator[Record]:
    """The same for a file of lines, such as `events.jsonl`: Row records, and the offset in the file is the position."""
    return _Following(
        connect, Place("file", path, python), RowFramer(cursor), state_of, stop, deadline, quiet
    ).records()


class _Following:
    """The state of following one file, over all connections."""

    def __init__(
        self,
        connect: Callable[[], Transport],
        place: Place,
        framer: RowFramer,
        state_of: Callable[[], RunState | None],
        stop: threading.Event,
        deadline: Deadline,
        quiet: float,
    ) -> None:
        self._connect, self._place, self._framer, self._state_of = connect, place, framer, state_of
        self._stop, self._deadline, self._first_quiet = stop, deadline, quiet
        self.keep: Callable[[str, int, bytes], None] = lambda host, offset, data: None
        self._backoff = Backoff()
        self._over = self._reopen = self._ever_opened = False
        self._saw_end = self._saw_final_state = False
        self._turned_at: float | None = None
        self._quiet = quiet
        self._ask_at = 0.0

    def records(self) -> Iterator[Record]:
        """Everything, through all connections."""
        while not self._finished():
            try:
                transport = self._connect()
                yield from self._session(transport)
            except Unreachable as error:
                self._framer.forget()
                delay = self._backoff.next()
                yield Reconnecting(error.what, delay)
                self._wait(delay)

    def _finished(self) -> bool:
        self._deadline.check(f"following {self._place.path}")
        return self._over or self._stop.is_set()

    def _wait(self, seconds: float) -> None:
        self._stop.wait(min(seconds, self._deadline.remaining()))

    def _session(self, transport: Transport) -> Iterator[Record]:
        """One stream, until it ends, or another one has to be opened. Raises Unreachable when it breaks."""
        started, self._reopen = time.monotonic(), False
        self._framer.forget()
        with Channel(transport, self._place, self._framer.cursor, self._deadline, rest=False) as channel:
            known = False
            while not self._reopen and not self._finished():
                item = channel.read(_TICK)
                if channel.opened is not None and not known:
                    known = True
                    self._see_opened(channel.opened)
                if isinstance(item, Status):
                    yield from self._see_end(channel, item, started)
                    return
                if item:
                    yield from self._take(transport.name, item)
                elif known and time.monotonic() >= self._ask_at:
                    yield from self._look(transport)

    def _see_opened(self, opened: Opened) -> None:
        """The stream has begun: what its first line says of the file."""
        self._backoff.reset()
        self._quiet, self._ever_opened = self._first_quiet, True
        nothing_new = opened.end == self._framer.cursor and opened.following is None
        awaited = self._turned_at is not None and opened.start != self._framer.cursor
        if awaited and time.monotonic() - (self._turned_at or 0) < _TURN:
            # A frame named the next segment; its supervisor is just about to make it.
            self._wait(0.02)
            self._reopen = True
            return
        self._turned_at = None
        self._ask_at = time.monotonic() + (0 if nothing_new else self._quiet)

    def _take(self, host: str, piece: bytes) -> Iterator[Record]:
        """Pass on what a piece completes, and see in it what calls for another stream or a question."""
        self._quiet = self._first_quiet
        self._ask_at = time.monotonic() + self._quiet
        self._saw_final_state = False
        for record in self._framer.feed(piece):
            yield record
            flags = record.frame.flags if isinstance(record, Line) else ""
            self._saw_end = flags == END
            if flags == NEXT:
                self._turned_at, self._reopen = time.monotonic(), True
            elif flags == END:
                self._ask_at, self._quiet = time.monotonic(), _SOON
        if data := self._framer.kept():
            self.keep(host, self._framer.cursor - len(data), data)

    def _look(self, transport: Transport) -> Iterator[Record]:
        """Ask the host what the silence means. The state comes first: all that was written before it is read then."""
        state = self._state_of()
        with Channel(transport, self._place, self._framer.cursor, self._deadline, rest=True) as channel:
            status: Status | None = None
            news = False
            while status is None and not self._finished():
                item = channel.read(_TICK)
                if channel.opened is not None and not news and channel.opened.end > self._framer.position:
                    # The stream did not say so: what it may still bring is had from here, and another one opened.
                    news = self._reopen = True
                    self._framer.forget()
                if isinstance(item, Status):
                    status = item
                elif item and news:
                    yield from self._take(transport.name, item)
        if status is None:
            return
        if status.code not in (0, statuses.COMPLETE):
            yield from self._see_failure(transport.name, status, state)
        elif channel.opened is None:
            raise lost(transport.name, status)
        elif channel.opened.following is not None:
            self._reopen = True
        elif not news:
            yield from self._judge(state)

    def _judge(self, state: RunState | None) -> Iterator[Record]:
        """Nothing new is there: whether that is the end."""
        if state is None:
            yield self._end_with(Vanished(f"there is no such run any more ({self._place.path})"))
        elif state.state in LIVE:
            self._saw_final_state = False
            self._ask_at = time.monotonic() + self._quiet
            self._quiet = min(2 * self._quiet, _BETWEEN_ATTEMPTS if self._saw_end else _LONGEST_QUIET)
        elif self._saw_end or self._saw_final_state:
            rest = self._framer.forget()
            if rest:
                yield Torn(rest, self._framer.cursor)
            if state.state == "lost":
                yield self._end_with(LostRun(state.reason or "its supervisor is gone and left no record of an end"))
            else:
                yield self._end_with(Ended(state.state, state.exit))
        else:
            # The state may be written just before the last frame.
            self._saw_final_state = True
            self._ask_at = time.monotonic() + _SOON

    def _see_end(self, channel: Channel, status: Status, started: float) -> Iterator[Record]:
        """The stream ended by itself."""
        opened = channel.opened
        if status.code == statuses.COMPLETE and opened is not None and opened.following is not None:
            if rest := self._framer.forget():
                yield Torn(rest, self._framer.cursor + len(rest))
            self._framer.cursor = opened.following
            self._turned_at = None
        elif status.code in (statuses.GONE, statuses.NOTHING_YET, statuses.BEYOND, statuses.NO_PYTHON):
            yield from self._see_failure(channel.name, status, self._state_of())
        elif status.code != 0 or time.monotonic() - started < 1:
            raise lost(channel.name, status)

    def _see_failure(self, host: str, status: Status, state: RunState | None) -> Iterator[Record]:
        """The host could not open the file."""
        if status.code == statuses.NOTHING_YET:
            self._wait(_SOON)
            self._reopen = True
            if state is None or state.state not in LIVE:
                yield from self._judge(state)
        elif status.code == statuses.GONE:
            yield self._end_with(Vanished(f"{self._place.path} is not there any more"))
        elif status.code == statuses.BEYOND and self._ever_opened:
            yield self._end_with(Vanished(f"{self._place.path} became shorter than what was read: it was replaced"))
        elif status.code == statuses.BEYOND:
            raise Usage(
                f"the cursor {self._framer.cursor} lies behind the end of {self._place.path} on {host}",
                why="a cursor belongs to the log of one run",
                fix="give a cursor that this run's log gave, or an age",
                example=f"fleet logs {host} --since 10m",
                host=host,
            )
        elif status.code == statuses.NO_PYTHON:
            raise RemoteFailed(
                f"{host} has no Python and no tail that can follow",
                why="following needs GNU tail, or Python 3.8 or newer",
                fix="install one of them, or name the interpreter in fleet.json",
                example='"python": "/opt/conda/bin/python"',
                host=host,
            )
        else:
            raise lost(host, status)

    def _end_with(self, record: Record) -> Record:
        self._over = True
        return record


def _keeper(keep: Keep | None, run_dir: str) -> Callable[[str, int, bytes], None]:
    """The sink of one run."""
    run = run_dir.rstrip("/").rpartition("/")[2]
    if keep is None:
        return lambda host, offset, data: None
    return lambda host, offset, data: keep(host, run, offset, data)
