"""Typed access to the fields of a request, so that whatever arrives is checked once and by name."""

from __future__ import annotations

import math
import re
from typing import Any, Pattern

from fleet.remote.refusal import Refusal, usage

#: Names of releases, environments and sets of secrets: one path component that hides nothing.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")

_MISSING = object()


class Fields:
    """A JSON object whose fields are taken one by one; what is left over at the end is a mistake."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(place, value, "an object")
        self._values: dict[str, Any] = dict(value)
        self._place = place

    def text(self, name: str, form: Pattern[str] | None = None, default: Any = _MISSING) -> str:
        """A string without NUL, of the given form."""
        value = self._take(name, default)
        if not isinstance(value, str) or "\0" in value or (form is not None and not form.fullmatch(value)):
            raise _wrong(f"{self._place}.{name}", value, f"text of the form {form.pattern}" if form else "text")
        return value

    def optional(self, name: str, form: Pattern[str] | None = None) -> str | None:
        """A string or null; absent means null."""
        if self._values.get(name) is None:
            self._values.pop(name, None)
            return None
        return self.text(name, form)

    def whole(self, name: str, low: int, high: int, default: Any = _MISSING) -> int:
        """A whole number within bounds."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(f"{self._place}.{name}", value, f"a whole number from {low} to {high}")
        return value

    def seconds(self, name: str, default: Any = _MISSING) -> float:
        """A duration, not negative."""
        return _seconds(f"{self._place}.{name}", self._take(name, default))

    def durations(self, name: str, default: Any = _MISSING) -> tuple[float, ...]:
        """A list of at least one duration."""
        values = self._take(name, default)
        if not isinstance(values, (list, tuple)) or not values:
            raise _wrong(f"{self._place}.{name}", values, "a list of seconds")
        return tuple(_seconds(f"{self._place}.{name}", value) for value in values)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise _wrong(f"{self._place}.{name}", value, "true or false")
        return value

    def words(self, name: str, default: Any = _MISSING) -> tuple[str, ...]:
        """A list of strings, for an argument vector."""
        values = self._take(name, default)
        if not isinstance(values, (list, tuple)) or not all(isinstance(v, str) and "\0" not in v for v in values):
            raise _wrong(f"{self._place}.{name}", values, "a list of texts")
        return tuple(values)

    def table(self, name: str, default: Any = _MISSING) -> dict[str, Any]:
        """An object of any content."""
        value = self._take(name, default)
        if not isinstance(value, dict):
            raise _wrong(f"{self._place}.{name}", value, "an object")
        return value

    def rows(self, name: str, default: Any = _MISSING) -> list[Fields]:
        """A list of objects."""
        values = self._take(name, default)
        if not isinstance(values, list):
            raise _wrong(f"{self._place}.{name}", values, "a list")
        return [Fields(value, f"{self._place}.{name}[{index}]") for index, value in enumerate(values)]

    def finish(self) -> None:
        """Refuse what nobody took."""
        if self._values:
            name = sorted(self._values)[0]
            raise usage(
                f"{self._place} has an unknown field {name!r}",
                why="a field without effect would be a silent mistake",
                fix="send it with an agent of the same version, or leave it out",
                example='{"deploy_dir": "~/fleet/hydra", "run": "small-lm-20260131-235959-k3qz"}',
            )

    def _take(self, name: str, default: Any) -> Any:
        value = self._values.pop(name, default)
        if value is _MISSING:
            raise _wrong(f"{self._place}.{name}", None, "present")
        return value


def _seconds(place: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0 or not math.isfinite(value):
        raise _wrong(place, value, "a number of seconds")
    return float(value)


def _wrong(place: str, value: Any, expected: str) -> Refusal:
    return usage(
        f"{place} is {str(value)[:80]!r}; it must be {expected}",
        why="the host acts on checked requests only",
        fix="use the controller and the agent of one version",
        example='{"deploy_dir": "~/fleet/hydra", "run": "small-lm-20260131-235959-k3qz"}',
    )
