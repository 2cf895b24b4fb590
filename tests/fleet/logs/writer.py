"""A run's supervisor as far as its log is concerned, as a process: numbered lines, written as fast or slowly as asked.

    python -m tests.fleet.logs.writer RUN_DIR LINES SEGMENT_BYTES PAUSE_SECONDS [last word]

It writes `line 0`, `line 1`, ... with a text of varying length, turning segments as the supervisor does, and ends the
attempt; state.json says `running`, then `completed`. Without LINES to write it leaves no end.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from fleet.remote import segments
from fleet.remote.logs import Log
from fleet.remote.redact import Redactor


def text(number: int) -> str:
    """What line `number` says."""
    return f"line {number} " + "x" * (number * 37 % 200)


def main(run_dir: str, lines: int, segment_bytes: int, pause: float) -> None:
    """Write one attempt."""
    run = Path(run_dir)
    (run / "log").mkdir(parents=True, exist_ok=True)
    state = run / "state.json"
    segments.SEGMENT_BYTES = segment_bytes
    state.write_text(json.dumps({"state": "running"}))
    log = Log(str(run / "log"), Redactor([]))
    log.begin()
    for number in range(lines):
        log.take("out", text(number).encode() + b"\n")
        if pause:
            time.sleep(pause)
    log.end("completed", {"code": 0})
    log.close()
    temporary = run / "state.tmp"
    temporary.write_text(json.dumps({"state": "completed", "exit": {"code": 0}}))
    temporary.rename(state)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
