"""The use of it all: list the run, keep what is in place, receive the rest through any number of cuts, prove it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Final

from fleet.download.folder import Folder
from fleet.download.listing import Ask, Listing, RemoteFile, Skipped, list_run
from fleet.download.receiving import Range, Receiver, ShortRange, Splitter
from fleet.errors import Blocked, DeadlinePassed, FleetError, NotFound, RemoteFailed, Unreachable, Unverified, Usage
from fleet.ssh import Cmd, Deadline, Transport
from fleet.ssh.backoff import Backoff

#: Characters of paths and numbers in one command: the kernel takes 128 KiB in one argument, the shell's line is one.
COMMAND_LIMIT: Final = 64 << 10
#: Attempts in a row that bring not one byte, after which a lost connection is an error (about 20 s of waiting).
FRUITLESS: Final = 8
_HASHERS: Final = 2
_NO_PYTHON: Final = 78


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is."""

    path: str
    """The file that bytes arrived for."""
    done: int
    """Bytes here, those found in place included."""
    total: int


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a download brought."""

    files: int
    """All files of the listing; they are in place and equal to the host's."""
    files_reused: int
    """Those that were in place before."""
    bytes_received: int
    """Content that came over the connection."""
    bytes_reused: int
    """Content that was here already: whole files and what an interrupted download left."""
    seconds: float
    steps: tuple[int, ...]
    """Steps of the checkpoints among the files."""
    skipped: tuple[Skipped, ...]
    """What the host left out, and why."""


def download(
    connect: Callable[[], Transport],
    ask: Ask,
    deploy_dir: str,
    run: str,
    to: Path,
    *,
    deadline: Deadline,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    checkpoint: str = "latest",
    python: str = "python3",
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Downloaded:
    """Bring a run's files into the folder `to`, which is made if it is not there.

    `connect` gives a living connection and is called again after a cut; the download then goes on with the byte behind
    the last one received, here or in a later call. `checkpoint` is `latest`, `best`, a step, `all` or `none`.

    Raises NotFound (run, checkpoint, or a file that went away), Unverified naming each file whose digest differs (all
    others are in place), Blocked for too little space, Usage for a folder that cannot be written or holds another run,
    Busy if another download writes there, Unreachable when several attempts in a row brought nothing, DeadlinePassed.
    """
    started = time.monotonic()
    listing = list_run(ask, deploy_dir, run, include=include, exclude=exclude, checkpoint=checkpoint)
    with _writing(to):
        folder = Folder(to)
        _refuse_other_run(to, folder.other_run(run), run)
        transfer = _Transfer(connect, folder, listing, python, deadline, on_progress)
        transfer.keep_what_is_there()
        transfer.check_space()
        transfer.receive()
        transfer.put_final_files()
        folder.drop_outdated(list(listing.files))
        folder.sync(transfer.wanted)
    seconds = time.monotonic() - started
    reused = len(listing.files) - len(transfer.wanted)
    received, kept = transfer.received, listing.size - transfer.received
    return Downloaded(len(listing.files), reused, received, kept, seconds, listing.steps, listing.skipped)


class _Transfer:
    """One download: what is wanted, what came, and how it goes on after a cut."""

    def __init__(
        self,
        connect: Callable[[], Transport],
        folder: Folder,
        listing: Listing,
        python: str,
        deadline: Deadline,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._connect, self._folder, self._listing = connect, folder, listing
        self._python, self._deadline, self._on_progress = python, deadline, on_progress
        self._program = (resources("fleet.remote") / "sender.py").read_text(encoding="utf-8")
        self._done = 0
        self._failures: list[FleetError] = []
        self._ended: set[str] = set()
        self.wanted: list[RemoteFile] = []
        self.received = 0

    def keep_what_is_there(self) -> None:
        """Find the files that are in place and equal; the others are wanted."""
        files = self._listing.files
        with ThreadPoolExecutor(_HASHERS, "download-compare") as pool:
            for file, held in zip(files, pool.map(self._held, files), strict=True):
                if held:
                    self._done += file.size
                else:
                    self.wanted.append(file)

    def _held(self, file: RemoteFile) -> bool:
        self._deadline.check(f"comparing {file.path}")
        return self._folder.holds(file)

    def check_space(self) -> None:
        """Refuse before anything is sent if the disk cannot take it."""
        left = sum(self._folder.left(file) for file in self.wanted)
        needed = sum(file.size for file in self.wanted) - left
        free = self._folder.free()
        if needed > free:
            raise Blocked(
                f"{self._folder.path} has {free:,} bytes free, {needed:,} are needed",
                why="a download that fills the disk fails in the middle and takes other programs with it",
                fix="free space, choose another folder, or leave checkpoints out",
                example=f"fleet download lab-a --run {self._listing.run} --checkpoint none",
            )
        self._done += left

    def receive(self) -> None:
        """Receive all wanted files; those that say that others are there come after them. Raises Unverified."""
        streamed = [file for file in self.wanted if file.content is None]
        for group in ([file for file in streamed if not file.final], [file for file in streamed if file.final]):
            self._receive_group(group)
            if self._failures:
                raise _unverified(self._failures)

    def put_final_files(self) -> None:
        """Write the files that came inside the listing."""
        for file in self.wanted:
            if file.content is not None:
                part = self._folder.part(file, self._folder.left(file))
                try:
                    part.append([file.content[part.size :]])
                    part.finish()
                finally:
                    part.close()
                self._came(file.path, file.size)

    def _receive_group(self, group: list[RemoteFile]) -> None:
        backoff, fruitless = Backoff(), 0
        while left := [file for file in group if file.path not in self._ended]:
            before = self.received
            try:
                self._receive_some(left)
            except (Unreachable, DeadlinePassed):
                # A deadline of one attempt, unless all of the time is over.
                self._deadline.check(f"downloading {self._listing.run}")
                if self.received > before:
                    backoff.reset()
                    fruitless = 0
                fruitless += 1
                if fruitless == FRUITLESS:
                    raise
                time.sleep(min(backoff.next(), self._deadline.remaining()))
                self._deadline.check(f"downloading {self._listing.run}")

    def _receive_some(self, left: list[RemoteFile]) -> None:
        """Receive as many of these files as one command takes. Raises Unreachable after a cut; what came is written."""
        ranges = [Range(file, self._folder.left(file)) for file in left[: _fitting(left)]]
        receiver = Receiver(self._folder, self._came)
        try:
            with receiver:
                self._stream(ranges, Splitter(ranges), receiver)
        finally:
            self._failures += receiver.failures
            self._ended |= receiver.ended

    def _stream(self, ranges: list[Range], splitter: Splitter, receiver: Receiver) -> None:
        transport = self._connect()
        with transport.stream_out(self._command(ranges), deadline=self._deadline) as output:
            try:
                for piece in output:
                    receiver.take(splitter.feed(piece))
                    if splitter.complete:
                        return
            except ShortRange as short:
                raise _gone(self._listing.run, short.path) from short
            result = output.result()
        if result.rc == _NO_PYTHON:
            raise _no_python(transport.name, self._python)
        words = " | ".join(result.err.decode("utf-8", "replace").strip().splitlines()[-3:]) or "it said nothing"
        raise Unreachable(
            f"{transport.name} ended the transfer early (status {result.rc}): {words}",
            why="its sender was stopped, or the connection was closed in order before everything had come",
            fix="run it again: it goes on where it stopped",
            example=f"fleet download {transport.name} --run {self._listing.run}",
            host=transport.name,
        )

    def _command(self, ranges: list[Range]) -> Cmd:
        arguments = [self._python, self._program, self._listing.root]
        for wanted in ranges:
            arguments += [wanted.file.path, str(wanted.offset), str(wanted.length)]
        return Cmd.script("send.sh", *arguments)

    def _came(self, path: str, count: int) -> None:
        self.received += count
        self._done += count
        self._on_progress(Progress(path, self._done, self._listing.size))


def _refuse_other_run(to: Path, here: str | None, run: str) -> None:
    if here is not None:
        raise Usage(
            f"{to} holds run {here}, not {run}",
            why="its files would be overwritten in part, and what is left would be no run",
            fix="choose another folder; without --to it is runs/ and the run's id",
            example=f"fleet download lab-a --run {run}",
        )


def _fitting(files: list[RemoteFile]) -> int:
    """How many of these files one command line takes, at least one."""
    length = 0
    for count, file in enumerate(files):
        length += len(os.fsencode(file.path)) + 48 + 4 * file.path.count("'")
        if count and length > COMMAND_LIMIT:
            return count
    return len(files)


def _no_python(host: str, python: str) -> RemoteFailed:
    return RemoteFailed(
        f"{host} has no Python: tried {python!r}, python3 on PATH, /usr/bin and /usr/local/bin",
        why="what sends files there is written in Python 3.8",
        fix="install Python 3, or name it as `python` of this instance in fleet.json",
        example='"python": "/opt/conda/bin/python"',
        host=host,
    )


def _gone(run: str, path: str) -> NotFound:
    return NotFound(
        f"{path} went away or became shorter on the host while {run} was downloaded",
        why="retention removes older checkpoints of a live run, and then their files cannot be had any more",
        fix="run it again: what arrived is kept, and the host lists what it has now",
        example=f"fleet download lab-a --run {run}",
    )


def _unverified(failures: list[FleetError]) -> FleetError:
    """One error for all files that did not verify."""
    first = failures[0]
    if len(failures) == 1:
        return first
    shown = "".join(f"\n  - {failure.what}" for failure in failures[:10])
    more = f"\n  and {len(failures) - 10} more" if len(failures) > 10 else ""
    what = f"{len(failures)} files did not verify:{shown}{more}"
    return Unverified(what, why=first.why, fix=first.fix, example=first.example)


@contextmanager
def _writing(to: Path) -> Iterator[None]:
    """Say what the file system refused in the words of this program."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        place = error.filename if isinstance(error.filename, str) else ""
        raise (Blocked if full else Usage)(
            f"{to} cannot be written: {place}{': ' if place else ''}{error.strerror or error}",
            why="what was received must be on the disk before it counts",
            fix="free space there" if full else "choose a folder that you may write and that holds no links",
            example="fleet download lab-a --run RUN --to runs/from-lab-a",
        ) from error
