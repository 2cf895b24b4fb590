"""Logs, events and metrics of runs as they grow on their hosts: the last lines, following, merging, showing.

It exists so that a reader who loses the link, the host or the run loses no line and repeats none.
"""

from __future__ import annotations

from fleet.logs.cursor import Since, parse_since
from fleet.logs.following import Keep, follow, follow_rows
from fleet.logs.framing import records_of
from fleet.logs.last import Ask, Last, last_lines
from fleet.logs.merging import Failed, merge
from fleet.logs.printing import Filter, Printer, clean, message, to_json
from fleet.logs.records import (
    Ended,
    Gap,
    Line,
    LostRun,
    Reconnecting,
    Record,
    Row,
    RunState,
    Torn,
    Vanished,
)

__all__ = [
    "Ask",
    "Ended",
    "Failed",
    "Filter",
    "Gap",
    "Keep",
    "Last",
    "Line",
    "LostRun",
    "Printer",
    "Reconnecting",
    "Record",
    "Row",
    "RunState",
    "Since",
    "Torn",
    "Vanished",
    "clean",
    "follow",
    "follow_rows",
    "last_lines",
    "merge",
    "message",
    "parse_since",
    "records_of",
    "to_json",
]
