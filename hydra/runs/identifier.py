"""The name of a run: `<name>-<yyyymmdd-hhmmss>-<4 base32>`, for example `small-lm-20260131-235959-k3qz`.

It is sorted by name and time, safe in a file name, a URL and a shell, and unique without asking anybody: the last four
characters are random, and the directory is made exclusively, so a collision is noticed and drawn again.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from hydra.errors import RunError

#: The whole id is at most this long, so it fits everywhere a label may be used.
ID_LENGTH = 64
_TAIL_LENGTH = len("-20260131-235959-k3qz")
#: The longest name that fits.
NAME_LENGTH = ID_LENGTH - _TAIL_LENGTH

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_STAMP = "%Y%m%d-%H%M%S"
_FORM = re.compile(r"(?P<name>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)-(?P<stamp>[0-9]{8}-[0-9]{6})-(?P<suffix>[a-z2-7]{4})")
_REFUSED = re.compile(r"[^A-Za-z0-9 ._-]")


def run_name(name: str) -> str:
    """The form of a name that goes into ids: lower case, with one `-` for each group of spaces, `.`, `_` and `-`.

    This much is rewritten because everybody can still recognise the name. Raises RunError for what could not be
    recognised: other characters, a name without a letter or digit, or one too long for an id (it is not cut, since two
    arms of a comparison often differ only at the end).
    """
    slug = re.sub(r"-+", "-", re.sub(r"[ ._]", "-", _REFUSED.sub("-", name).lower())).strip("-")
    suggestion = slug[:NAME_LENGTH].rstrip("-") or "small-lm"
    odd = sorted(set(_REFUSED.findall(name)))
    if odd:
        raise _unusable(name, f"it has {' '.join(map(ascii, odd))}, and run ids are made of a-z, 0-9 and -", suggestion)
    if not slug:
        raise _unusable(name, "it has no letter or digit", suggestion)
    if len(slug) > NAME_LENGTH:
        why = f"it is {len(slug)} characters long, and time and suffix leave {NAME_LENGTH} of {ID_LENGTH}"
        raise _unusable(name, why, suggestion)
    return slug


@dataclass(frozen=True, slots=True)
class RunId:
    """A run id in its parts: the name, the second it was made (UTC) and four random base32 characters."""

    name: str
    started: datetime
    suffix: str

    @classmethod
    def draw(cls, name: str, now: datetime | None = None) -> RunId:
        """A new id for a name. Unique only once its directory was made exclusively (`RunDirectory.create`)."""
        moment = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
        return cls(run_name(name), moment, "".join(_BASE32[byte % 32] for byte in os.urandom(4)))

    @classmethod
    def parse(cls, text: str) -> RunId | None:
        """The parts of an id, or None for a text of another form."""
        match = _FORM.fullmatch(text) if len(text) <= ID_LENGTH else None
        if match is None:
            return None
        try:
            started = datetime.strptime(match["stamp"], _STAMP).replace(tzinfo=UTC)
        except ValueError:
            return None
        return cls(match["name"], started, match["suffix"])

    def __str__(self) -> str:
        return f"{self.name}-{self.started:{_STAMP}}-{self.suffix}"


def _unusable(name: str, why: str, suggestion: str) -> RunError:
    return RunError(
        f"a run cannot be named {name!r}",
        why=why,
        fix=f"use a name of at most {NAME_LENGTH} letters, digits and dashes",
        example=f"name: {suggestion}",
    )
