"""One attempt of a run, from the start of its leader until nothing of it is left: output, ranks, signals, evidence."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import time

from fleet.remote import evidence as evidences
from fleet.remote.cgroups import RunGroup, shared_oom_kills
from fleet.remote.events import final_record
from fleet.remote.evidence import Evidence, Failure
from fleet.remote.frames import ERR, OUT
from fleet.remote.identity import Identity, NotThatProcess, send_signal
from fleet.remote.launch import Launch
from fleet.remote.leader import Leader, command_of, launcher_folder
from fleet.remote.logs import Log
from fleet.remote.loop import Loop
from fleet.remote.pinning import Pinned
from fleet.remote.places import RunFiles
from fleet.remote.workers import Workers

#: Bytes read at a time; between two pieces the supervisor looks around.
_READ_BYTES = 256 << 10
#: Pieces that a pipe can hold, and some more.
_PIECES = 8
#: Seconds that ranks have to end by themselves once another one has failed.
_PEERS_SECONDS = 1.5
#: Seconds that the launcher has to end once its ranks have ended well and it has passed on their last line. torchrun
#: waits 5 minutes for those of other nodes, which never come when a launcher there has ended in another way.
_LAUNCHER_SECONDS = 5.0


class Attempt:
    """The processes of one attempt and what they write."""

    def __init__(
        self, launch: Launch, pinned: Pinned, files: RunFiles, log: Log, loop: Loop, group: RunGroup | None
    ) -> None:
        self._launch, self._pinned, self._files, self._log, self._loop = launch, pinned, files, log, loop
        self._group = group
        self._first_rank = launch.node_rank * launch.nproc
        self._pipes: dict[str, int] = {}
        self._paused = False
        self._told = False
        self._peers_killed = False
        self._heard_at = 0.0
        """Monotonic time of the newest output, or of the last moment at which none was taken."""
        self._launcher_killed = False
        """Whether the launcher was killed here, because it waited in vain after a good end of all ranks."""
        self._workers: Workers | None = None
        self._started_ns = 0
        self.leader: Leader | None = None
        self.code: int | None = None
        self.signal: int | None = None
        self.ended = False
        """Whether the leader has ended."""

    def start(self, argv: tuple[str, ...], environment: dict[str, str]) -> Identity:
        """Start the leader; returns who it is. Raises OSError if it cannot be executed."""
        launch = self._launch
        self._oom_before = self._oom_kills()
        self._shared_before = shared_oom_kills()
        self._started_ns = time.time_ns()
        self.leader = Leader.start(
            command_of(launch, self._pinned, self._files, argv), self._pinned.release, environment
        )
        if self._group is not None:
            self._group.adopt(self.leader.pid)
        if launch.launched:
            self._workers = Workers(self.leader.pid, launch.nproc)
        self._pipes = {OUT: self.leader.out, ERR: self.leader.err}
        self._watch()
        return self.leader.identity

    @property
    def silent(self) -> bool:
        """Whether both outputs have ended."""
        return not self._pipes

    @property
    def failing(self) -> bool:
        """Whether a rank has failed while the launcher is still there."""
        return not self.ended and self._workers is not None and bool(self._workers.failures)

    def note_ended(self, children: dict[int, int]) -> None:
        """Take note of collected children; the leader may be among them."""
        if self.leader is not None and self.leader.pid in children:
            self.code, self.signal = self.leader.collected(children[self.leader.pid])
            if self._launcher_killed and self.signal == signal.SIGKILL:
                # Nothing but the good end of its ranks was left for it to tell.
                self.code, self.signal = 0, None
            self.ended = True

    def abandon(self) -> None:
        """Go on without the leader, which the kernel does not end."""
        self.ended, self.signal = True, signal.SIGKILL

    def look(self) -> None:
        """What is due at every turn: back-pressure, ranks that ended, ranks and launchers that wait for dead ones."""
        if self._paused:
            self._heard_at = time.monotonic()
        if self._log.blocked != self._paused:
            self._paused = self._log.blocked
            for descriptor in self._pipes.values():
                self._loop.forget(descriptor)
            if not self._paused:
                self._watch()
        if self._workers is None or self.ended:
            return
        for handle in self._workers.look():
            self._loop.watch(handle, functools.partial(self._rank_ended, handle))
        failed = self._workers.failed_at
        if failed is not None and not self._peers_killed and time.monotonic() - failed > _PEERS_SECONDS:
            self._peers_killed = True
            self._workers.kill()
        well = self._workers.well_at
        if well is not None and time.monotonic() - max(well, self._heard_at) > _LAUNCHER_SECONDS:
            self._launcher_killed = True
            self._signal_leader(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the trainer to save and end: TERM to each rank once, to the leader if there are no ranks to be seen.

        torchrun itself gets none while it has ranks: it would kill them after 30 s, in the middle of a save.
        """
        if self.leader is None or self.ended:
            return
        if self._workers is not None and self._workers.terminate():
            return
        if not self._told:
            self._told = True
            self._signal_leader(signal.SIGTERM)

    def drain(self) -> None:
        """Take what is in the pipes now, whether or not the disk takes it: nobody is left to be slowed down."""
        for stream in list(self._pipes):
            for _ in range(_PIECES):
                if stream not in self._pipes or not self._read(stream):
                    break

    def evidence(self, asked: bool, attempt: int) -> Evidence:
        """Everything that tells how this attempt ended."""
        failures = self._failures(attempt) if (self.code, self.signal) != (0, None) else []
        return Evidence(
            code=self.code,
            signal=self.signal,
            asked=asked,
            final=final_record(self._files.events, attempt),
            failures=failures,
            memory=self._memory(failures),
            node=self._launch.node_rank,
            first_rank=self._first_rank,
        )

    def close(self) -> None:
        """Let go of pipes, and of the launcher's copies of the output, which the log holds."""
        for stream in list(self._pipes):
            self._close_pipe(stream)
        if self.leader is not None:
            self.leader.close()
        if self.signal is None:
            # After a launcher that was killed, its copies hold lines that it did not pass on.
            shutil.rmtree(launcher_folder(self._files), ignore_errors=True)

    def _signal_leader(self, number: int) -> None:
        if self.leader is not None:
            with contextlib.suppress(NotThatProcess):
                send_signal(self.leader.identity, number)

    def _watch(self) -> None:
        for stream, descriptor in self._pipes.items():
            self._loop.watch(descriptor, functools.partial(self._read, stream))

    def _read(self, stream: str) -> bool:
        """Take a piece of one output; returns whether there was anything."""
        try:
            data = os.read(self._pipes[stream], _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._heard_at = time.monotonic()
            self._log.take(stream, data)
        else:
            self._close_pipe(stream)
        return bool(data)

    def _close_pipe(self, stream: str) -> None:
        self._loop.forget(self._pipes.pop(stream))
        self._log.ended(stream)

    def _rank_ended(self, handle: int) -> None:
        self._loop.forget(handle)
        os.close(handle)

    def _failures(self, attempt: int) -> list[Failure]:
        """Ranks that failed, by all that tells of them, with the best source first."""
        launched = self._workers is not None
        found = list(self._workers.failures) if self._workers is not None else []
        found += evidences.crash_files(self._files, self._started_ns)
        if launched:
            found += evidences.launcher_files(launcher_folder(self._files), self._first_rank, self._started_ns)
        lines = self._log.last_lines()
        if not found:
            found += evidences.final_failure(self._files, attempt, self._first_rank)
        if launched and all(failure.consequence for failure in found):
            # The rank that failed first was collected before it was seen, but its launcher knows.
            summary = evidences.summary_failure(lines, self._first_rank)
            found += [] if summary is None else [summary]
        if not found and self.code is not None:
            trace = evidences.traceback_failure(lines, self._first_rank)
            found += [] if trace is None else [trace]
        shown = [failure._replace(message=self._log.without_secrets(failure.message)) for failure in found]
        return evidences.merged(shown)

    def _memory(self, failures: list[Failure]) -> bool:
        """Whether the kernel killed for memory. A counter shared with others proves nothing without a kill by 9."""
        if self._oom_kills() > self._oom_before:
            return True
        killed = signal.SIGKILL in (self.signal, *(failure.signal for failure in failures))
        if not killed or self.leader is None:
            return False
        return shared_oom_kills() > self._shared_before or evidences.kernel_killed([self.leader.pid])

    def _oom_kills(self) -> int:
        return 0 if self._group is None else self._group.oom_kills()
