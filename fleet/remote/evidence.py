"""What is left behind when an attempt has ended: final record, error files, memory kills that the kernel tells of."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from typing import Any, NamedTuple

from fleet.remote.atomic import read_json
from fleet.remote.events import final_record
from fleet.remote.places import RunFiles

#: What a rank says whose peer died first.
_PEER_LOST = "PeerLost"
_KERNEL_LOG = "/dev/kmsg"
_CRASH = re.compile(r"rank-([0-9]{1,9})\.json")
_TRACEBACK_END = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*(?:Error|Exception|Interrupt|Exit))(?:: (.*))?")
_EXCEPTION = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*): ")


class Failure(NamedTuple):
    """How one rank failed, as far as it is known."""

    rank: int
    at_ns: int
    """When it was first noticed, Unix nanoseconds of this host."""
    code: int | None = None
    signal: int | None = None
    exception: str | None = None
    message: str = ""

    @property
    def consequence(self) -> bool:
        """Whether the rank only lost a peer, or was told to end, so that another one failed before it."""
        return self.exception == _PEER_LOST or self.signal == signal.SIGTERM


class Evidence(NamedTuple):
    """Everything from which the end of an attempt is judged."""

    code: int | None
    """Exit status of the leader; None if a signal ended it."""
    signal: int | None
    asked: bool
    """Whether somebody asked this supervisor to stop the run."""
    final: dict[str, Any] | None
    """The trainer's final record of this attempt."""
    failures: list[Failure]
    """Ranks that failed, one entry each, in the order in which it was noticed."""
    memory: bool
    """Whether the kernel killed a process of the run for want of memory."""
    node: int = 0
    first_rank: int = 0
    """Lowest rank of this host, to be named when nothing says which rank it was."""


def merged(failures: list[Failure]) -> list[Failure]:
    """One failure for each rank, in order of the first that was noticed of it, with all that is known together."""
    by_rank: dict[int, Failure] = {}
    for failure in sorted(failures, key=lambda failure: failure.at_ns):
        held = by_rank.setdefault(failure.rank, failure)
        by_rank[failure.rank] = held._replace(
            code=failure.code if held.code is None else held.code,
            signal=failure.signal if held.signal is None else held.signal,
            exception=held.exception or failure.exception,
            message=held.message or failure.message,
        )
    return sorted(by_rank.values(), key=lambda failure: failure.at_ns)


def crash_files(files: RunFiles, since_ns: int) -> list[Failure]:
    """What the error files say that ranks of this attempt wrote."""
    found: list[Failure] = []
    if not os.path.isdir(files.file("crash")):
        return found
    with os.scandir(files.file("crash")) as entries:
        for entry in entries:
            match = _CRASH.fullmatch(entry.name)
            written = entry.stat(follow_symlinks=False).st_mtime_ns
            report = read_json(entry.path) if match and written >= since_ns else None
            if match and report is not None:
                failure = Failure(
                    int(match[1]),
                    written,
                    code=_whole(report.get("code")),
                    exception=_text(report.get("exception")),
                    message=_text(report.get("message")) or "",
                )
                found.append(failure)
    return found


def launcher_files(folder: str, first_rank: int, since_ns: int) -> list[Failure]:
    """The error files of torchrun's own format, `.../attempt_0/<local rank>/error.json`."""
    found = []
    for where, _, names in os.walk(folder):
        path = os.path.join(where, "error.json")
        local = os.path.basename(where)
        if "error.json" not in names or not local.isdigit():
            continue
        written = os.stat(path).st_mtime_ns
        message = (read_json(path) or {}).get("message")
        text = message.get("message") if isinstance(message, dict) else message
        if written >= since_ns and isinstance(text, str):
            match = _EXCEPTION.match(text)
            exception = match[1] if match else None
            found.append(Failure(first_rank + int(local), written, exception=exception, message=text))
    return found


def final_failure(files: RunFiles, attempt: int, rank: int) -> list[Failure]:
    """What the final record says, when the trainer could write one."""
    final = final_record(files.events, attempt)
    if final is None or final.get("kind") != "run.failed" or not isinstance(final.get("data"), dict):
        return []
    data, moment = final["data"], final.get("time")
    failure = Failure(
        _whole(data.get("rank")) or rank,
        int(moment * 1e9) if isinstance(moment, (int, float)) else 0,
        code=_whole(data.get("code")),
        exception=_text(data.get("exception")),
        message=_text(data.get("message")) or "",
    )
    return [failure]


def kernel_killed(pids: list[int]) -> bool:
    """Whether the kernel's log, if this user may read it, says that it killed one of these for want of memory."""
    try:
        descriptor = os.open(_KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    killed = [re.compile(rb"Killed process %d \(" % pid) for pid in pids]
    found = False
    with contextlib.suppress(BlockingIOError):
        while not found:
            try:
                record = os.read(descriptor, 8192)
            except BrokenPipeError:
                # The oldest records were overwritten while they were read; the next read goes on behind them.
                continue
            if not record:
                break
            found = any(pattern.search(record) for pattern in killed)
    os.close(descriptor)
    return found


def summary_failure(lines: list[str], first_rank: int) -> Failure | None:
    """The first failed rank in the summary that torchrun prints, for a death that nothing else recorded."""
    text = "\n".join(lines)
    root = text.rfind("Root Cause (first observed failure)")
    match = re.search(r"local_rank: (\d+)\)\n +exitcode +: (-?\d+)", text[root:]) if root >= 0 else None
    if match is None:
        return None
    status = int(match[2])
    rank, now = first_rank + int(match[1]), time.time_ns()
    return Failure(rank, now, signal=-status) if status < 0 else Failure(rank, now, code=status)


def traceback_failure(lines: list[str], rank: int) -> Failure | None:
    """The exception at the end of a traceback among the last lines, for a rank that wrote no error file."""
    for line in reversed(lines):
        match = _TRACEBACK_END.fullmatch(line)
        if match:
            return Failure(rank, time.time_ns(), exception=match[1].rpartition(".")[2], message=match[2] or "")
    return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
