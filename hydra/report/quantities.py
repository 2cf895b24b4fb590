"""Numbers as people read them: parameters, sizes, rates, durations and moments."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_DECIMAL = ("", "k", "M", "G", "T", "P")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def number(value: float, digits: int = 4) -> str:
    """A measured number with so many significant digits; powers of ten outside 0.001 ... 999,999."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -3 or magnitude > 5:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{_trimmed(mantissa)}e{int(exponent)}"
    return _trimmed(f"{value:,.{max(digits - 1 - magnitude, 0)}f}")


def magnitude(value: float) -> str:
    """A large number in three digits: 1.24M, 56.5k, 940."""
    return _scaled(value, 1000.0, _DECIMAL, "")


def size(count: float) -> str:
    """Bytes in three digits: 60.2 GiB."""
    return _scaled(count, 1024.0, _BINARY, " ")


def duration(seconds: float) -> str:
    """A span of time in its two largest units: 3 min 12 s."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    rest = float(round(seconds))
    first = next(index for index, (length, _) in enumerate(_UNITS) if rest >= length)
    parts: list[str] = []
    for length, unit in _UNITS[first : first + 2]:
        count, rest = divmod(rest, length)
        if count or not parts:
            parts.append(f"{count:.0f} {unit}")
    return " ".join(parts)


def moment(seconds: float) -> str:
    """A Unix time as date and time of day in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _scaled(value: float, base: float, units: tuple[str, ...], space: str) -> str:
    if not math.isfinite(value):
        return number(value)
    index = 0
    while abs(value) >= base * 0.9995 and index < len(units) - 1:
        value /= base
        index += 1
    digits = 0 if index == 0 and value == int(value) else max(0, 2 - math.floor(math.log10(max(abs(value), 1e-9))))
    return f"{_trimmed(f'{value:.{min(digits, 3)}f}')}{space}{units[index]}"


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
