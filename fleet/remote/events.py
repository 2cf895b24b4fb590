"""Events that the supervisor adds to `events.jsonl` while no trainer lives, in the trainer's own form."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Iterator

FINAL = frozenset({"run.completed", "run.stopped", "run.failed"})
#: Kinds that say where an attempt began to train.
BEGINNINGS = frozenset({"run.started", "run.resumed"})

_BLOCK = 1 << 16


def append(
    path: str,
    kind: str,
    *,
    attempt: int,
    step: int | None = None,
    level: str = "info",
    data: dict[str, Any] | None = None,
) -> None:
    """Add one event, numbered after the last, and put it on the disk. Raises OSError.

    A torn tail that a killed trainer left is closed in the same write, so it cannot swallow the event.
    """
    event = {
        "seq": last_seq(path) + 1,
        "time": time.time(),
        "attempt": attempt,
        "step": step,
        "kind": kind,
        "level": level,
        "rank": 0,
        "data": data or {},
    }
    line = json.dumps(event, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def last_seq(path: str) -> int:
    """The highest event number in a file, 0 if it has none."""
    for event in backwards(path):
        if isinstance(event.get("seq"), int):
            return int(event["seq"])
    return 0


def final_record(path: str, attempt: int) -> dict[str, Any] | None:
    """The event that ended an attempt; None if it did not end, or ended without a word."""
    for event in backwards(path):
        if event.get("attempt") != attempt:
            return None
        if event.get("kind") in FINAL:
            return event
    return None


def last_beginning(path: str) -> tuple[int, int]:
    """The newest attempt that began to train, and the step it began at; (0, 0) if none did."""
    for event in backwards(path):
        attempt = event.get("attempt")
        if event.get("kind") not in BEGINNINGS or not isinstance(attempt, int):
            continue
        step = event["data"].get("step") if isinstance(event.get("data"), dict) else None
        return attempt, step if event["kind"] == "run.resumed" and isinstance(step, int) else 0
    return 0, 0


def backwards(path: str) -> Iterator[dict[str, Any]]:
    """The whole lines of a file that are JSON objects, last one first, read from its end; none if it is absent."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the with below; only opening may find nothing
    except FileNotFoundError:
        return
    with file:
        position = file.seek(0, os.SEEK_END)
        rest = b""
        torn = True
        while position:
            size = min(_BLOCK, position)
            position -= size
            file.seek(position)
            lines = (file.read(size) + rest).split(b"\n")
            rest = lines[0] if position else b""
            for line in reversed(lines[1:] if position else lines):
                if torn:
                    # Behind the last newline: empty, or the beginning of a line that is being written.
                    torn = False
                elif (row := _row(line)) is not None:
                    yield row


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
