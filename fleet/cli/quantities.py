"""Numbers as people read them."""

from __future__ import annotations

from typing import Final

_STEPS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def number(value: float | None) -> str:
    """A number without decimals; nothing for None."""
    return "" if value is None else f"{value:,.0f}"


def gib(size: int) -> str:
    """Bytes in GiB."""
    return f"{size / (1 << 30):.1f}"


def duration(seconds: float | None) -> str:
    """Seconds in the largest unit that gives at least one."""
    if seconds is None:
        return ""
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
