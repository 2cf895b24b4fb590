"""Where to begin reading a log: the values of `--since`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fleet.errors import Usage

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGE = re.compile(r"([0-9]{1,9})([smhd])")


@dataclass(frozen=True, slots=True)
class Since:
    """Where to begin: at a cursor, or with what is at most so many seconds old on the host's clock."""

    cursor: int | None = None
    seconds: float | None = None


def parse_since(text: str) -> Since:
    """`--since CURSOR` or `--since 10m` (s, m, h, d). Raises Usage."""
    if re.fullmatch(r"[0-9]{1,19}", text):
        return Since(cursor=int(text))
    if match := _AGE.fullmatch(text):
        return Since(seconds=int(match[1]) * _SECONDS[match[2]])
    raise Usage(
        f"--since {text!r} is neither a cursor nor an age",
        why="a cursor is the whole number that --json prints with each line; an age has a unit",
        fix="give one of the two",
        example="fleet logs lab-a --since 10m",
    )
