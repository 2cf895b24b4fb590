"""The following of one file over all its connections: what each stream, its end and its silence mean."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from fleet.errors import DeadlinePassed, RemoteFailed, Unreachable, Usage
from fleet.logs import channel as statuses
from fleet.logs.channel import Channel, Opened, Place, Status, look, lost
from fleet.logs.framing import RowFramer
from fleet.logs.question import Answer, Question
from fleet.logs.records import Ended, Line, LostRun, Reconnecting, Record, RunState, Torn, Vanished
from fleet.remote.frames import END, NEXT
from fleet.ssh import Deadline, Transport
from fleet.ssh.backoff import Backoff

#: States of a run that is alive; every other one is final.
LIVE: Final = frozenset({"starting", "running", "stopping", "backoff"})
#: Seconds of silence after which the host is asked, doubled each time up to the last.
QUIET: Final = 5.0
_LONGEST_QUIET: Final = 30.0
#: The same when an attempt has ended: the state follows at once, or another attempt within a minute or two.
_SOON: Final = 0.3
_BETWEEN_ATTEMPTS: Final = 2.0
#: Seconds between looks at `stop` and the deadline, and at a question under way.
_TICK: Final = 0.2
_SHORT_TICK: Final = 0.02
#: Seconds that a segment may take to appear after a frame named it.
_TURN: Final = 5.0


class Follower:
    """Follows one file; `records` is used once."""

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
        self.until_now = False
        self._backoff = Backoff()
        self._over = self._reopen = self._ever_opened = False
        self._saw_end = self._saw_final_state = False
        self._turned_at: float | None = None
        self._quiet = quiet
        self._ask_at = 0.0
        self._question: Question | None = None
        self._one_at_a_time = self._ask_first = False

    def records(self) -> Iterator[Record]:
        """Everything, through all connections."""
        while not self._finished():
            try:
                transport = self._connect()
                if self._ask_first:
                    self._ask_first = False
                    yield from self._weigh(transport.name, self._ask(transport))
                if not self._finished():
                    yield from self._session(transport)
            except (Unreachable, DeadlinePassed) as error:
                # A deadline of one attempt, unless all of the time is over.
                self._deadline.check(f"following {self._place.path}")
                self._question = None
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
        started, self._reopen, self._question = time.monotonic(), False, None
        self._framer.forget()
        with Channel(transport, self._place, self._framer.cursor, self._deadline, rest=self.until_now) as channel:
            known = False
            while not self._reopen and not self._finished():
                item = channel.read(_SHORT_TICK if self._question else _TICK)
                if channel.opened is not None and not known:
                    known = True
                    self._see_opened(channel.opened)
                if isinstance(item, Status):
                    yield from self._see_end(channel, item, started)
                    return
                if item:
                    yield from self._take(transport.name, item)
                elif known and not self.until_now:
                    yield from self._see_silence(transport)

    def _see_opened(self, opened: Opened) -> None:
        """The stream has begun: what its first line says of the file."""
        self._backoff.reset()
        # Who comes when all is over shall not have to wait for silence to be noticed.
        at_end = opened.end == self._framer.cursor and opened.following is None
        at_once = at_end and (self._saw_end or not self._ever_opened)
        self._ever_opened = True
        awaited = self._turned_at is not None and opened.start != self._framer.cursor
        if awaited and time.monotonic() - (self._turned_at or 0) < _TURN:
            # A frame named the next segment; its supervisor is just about to make it.
            self._wait(_SHORT_TICK)
            self._reopen = True
            return
        self._turned_at = None
        self._ask_at = time.monotonic() + (0 if at_once else self._quiet)

    def _take(self, host: str, piece: bytes) -> Iterator[Record]:
        """Pass on what a piece completes, and see in it what calls for another stream or a question."""
        self._question, self._quiet = None, self._first_quiet
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

    def _see_silence(self, transport: Transport) -> Iterator[Record]:
        """Nothing comes: ask in time, and weigh the answer when it is there."""
        if self._question is None:
            if time.monotonic() < self._ask_at:
                return
            if self._one_at_a_time:
                self._reopen = self._ask_first = True
                return
            self._question = Question(lambda: self._ask(transport))
            return
        try:
            answer = self._question.answer()
        except DeadlinePassed:
            # The host may allow one session at a time; then the stream must make room for the question.
            self._reopen = self._one_at_a_time = self._ask_first = True
            return
        if answer is not None:
            self._question = None
            yield from self._weigh(transport.name, answer)

    def _ask(self, transport: Transport) -> Answer:
        state = self._state_of()
        return Answer(state, look(transport, self._place, self._framer.cursor, self._deadline.sooner(30)))

    def _weigh(self, host: str, answer: Answer) -> Iterator[Record]:
        """What the host said of the silence."""
        if isinstance(answer.there, Status):
            yield from self._see_failure(host, answer.there, answer.state)
        elif answer.there.end > self._framer.position or answer.there.following is not None:
            # There is more, and the stream does not bring it: it was not told of new bytes, or reads a segment that
            # nobody closed. Another stream begins with what is there.
            self._reopen = True
        else:
            yield from self._judge(answer.state)

    def _judge(self, state: RunState | None) -> Iterator[Record]:
        """Nothing new is there: whether that is the end."""
        if state is None:
            yield self._end_with(Vanished(f"there is no such run any more ({self._place.path})"))
        elif state.state in LIVE:
            self._saw_final_state = False
            self._ask_at = time.monotonic() + self._quiet
            self._quiet = min(2 * self._quiet, _BETWEEN_ATTEMPTS if self._saw_end else _LONGEST_QUIET)
        elif self._saw_end or self._saw_final_state:
            if rest := self._framer.forget():
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
        elif self.until_now and status.code in (0, statuses.NOTHING_YET):
            self._over = True
        elif status.code in (statuses.GONE, statuses.NOTHING_YET, statuses.BEYOND, statuses.NO_PYTHON):
            yield from self._see_failure(channel.name, status, self._state_of())
        elif status.code != 0 or time.monotonic() - started < 1:
            raise lost(channel.name, status)

    def _see_failure(self, host: str, status: Status, state: RunState | None) -> Iterator[Record]:
        """The host could not open the file."""
        if status.code == statuses.NOTHING_YET:
            self._wait(self._backoff.next())
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
