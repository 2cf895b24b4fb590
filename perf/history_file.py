"""The history file of one class of host: appended under a lock, never rewritten."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Mapping
from pathlib import Path

from perf.columns import COLUMNS


def append(path: Path, row: Mapping[str, object]) -> None:
    """Add one row, with the header before the first. Raises ValueError for unknown columns or another header."""
    unknown = set(row) - set(COLUMNS)
    if unknown:
        raise ValueError(
            f"the history has no column {', '.join(sorted(unknown))}; its columns are {', '.join(COLUMNS)}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    with os.fdopen(descriptor, "r+", encoding="utf-8", newline="") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        header = file.readline()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not header:
            writer.writerow(COLUMNS)
        elif tuple(next(csv.reader([header]))) != COLUMNS:
            raise ValueError(f"{path} has other columns; move it aside or migrate it before appending")
        writer.writerow([_cell(row.get(column)) for column in COLUMNS])
        file.seek(0, os.SEEK_END)
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[dict[str, str]]:
    """All rows, oldest first."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
