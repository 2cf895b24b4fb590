"""Attempts: a run keeps its id and its directory over every resume, and counts how often it was started."""

from __future__ import annotations

import re

from hydra.runs.atomic import write_bytes, write_text
from hydra.runs.events import read_events
from hydra.runs.layout import RunDirectory
from hydra.runs.state import read_state

_EARLIER = re.compile(r"manifest\.([0-9]+)\.yaml")


def last_attempt(run: RunDirectory) -> int:
    """The highest attempt that left a trace; 0 for a run that was never started.

    An attempt that was killed before its first event still left its manifest, or that of the attempt before it.
    """
    state = read_state(run.state)
    traces = [event.attempt for event in read_events(run.events).events]
    kept = [int(match[1]) for path in run.path.iterdir() if (match := _EARLIER.fullmatch(path.name))]
    return max(
        0 if state is None else state.attempt,
        max(traces, default=0),
        max(kept) + 1 if kept else int(run.manifest.exists()),
    )


def write_manifest(run: RunDirectory, text: str, *, attempt: int) -> None:
    """Write the resolved manifest of an attempt; the one of the attempt before stays as `manifest.<attempt>.yaml`.

    Killed at any moment, it can be repeated: the first manifest kept for an attempt is the one that stays.
    """
    earlier = run.earlier_manifest(attempt - 1)
    if attempt > 1 and run.manifest.exists() and not earlier.exists():
        write_bytes(earlier, run.manifest.read_bytes())
    write_text(run.manifest, text)
