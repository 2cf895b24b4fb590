"""`train.log` and `log/rank-N.log`: one record a line, whatever a message holds.

Messages are not to be trusted: they carry file names, text from corpora and other programs' output. A control byte that
reached a terminal could rewrite what the reader sees, so every one is escaped, line breaks of a traceback included.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from pathlib import Path

from hydra.runs.failures import RunWriteError
from hydra.runs.lines import LineWriter

# C0, DEL, C1, Unicode's line and paragraph separators, its direction overrides, and lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def escape(text: str) -> str:
    """A text on one line: `\\n`, `\\t`, `\\x1b`, `\\u2028` in place of the characters that control something."""
    return _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    number = ord(character)
    return _SHORT.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


class LineFormatter(logging.Formatter):
    """`2026-01-31T23:59:59.123Z INFO hydra.training message`, time in UTC, a traceback behind the message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        if record.stack_info:
            text = f"{text}\n{record.stack_info}"
        return escape(f"{moment} {record.levelname} {record.name} {text}")


class RunLogHandler(logging.Handler):
    """Writes the standard library's log records into a file of a run directory; errors are on the disk at once.

    A record that the disk refuses is reported on stderr as `logging` does it and counted in `lost`: a log line is not
    worth a training run.
    """

    def __init__(self, path: Path, level: int = logging.INFO) -> None:
        super().__init__(level)
        self.setFormatter(LineFormatter())
        self.lost = 0
        self._lines = LineWriter(path)

    def emit(self, record: logging.LogRecord) -> None:
        """Append one record."""
        try:
            self._lines.append(self.format(record).encode("utf-8"), sync=record.levelno >= logging.ERROR)
        except RunWriteError:
            self.lost += 1
            self.handleError(record)

    def close(self) -> None:
        """Sync and close the file."""
        self._lines.close()
        super().close()
