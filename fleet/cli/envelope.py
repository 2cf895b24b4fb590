"""What `--json` prints: one object `{"schema", "ok", "data", "errors"}` a command, the same for all of them.

`warnings` stands beside them when there are any.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any, Final

from hydra.errors import HydraError

#: Raised when a field changes its meaning or disappears; new fields do not.
VERSION: Final = 1


def envelope(command: str, data: Any, errors: Sequence[HydraError] = (), warnings: Sequence[str] = ()) -> str:
    """The object of a command as one line."""
    return _text(command, data, [problem(error) for error in errors], warnings)


def failure(command: str, errors: Sequence[HydraError]) -> str:
    """The object of a command that has nothing but errors."""
    return _text(command, None, [problem(error) for error in errors])


def complaint(command: str, code: int, kind: str, message: str, hint: str) -> str:
    """The object of a command that ended for a reason which is no HydraError."""
    return _text(command, None, [{"host": None, "code": code, "kind": kind, "message": message, "hint": hint}])


def problem(error: HydraError) -> dict[str, Any]:
    """An error for programs."""
    return {
        "host": getattr(error, "host", None),
        "code": error.exit_code,
        "kind": getattr(error, "kind", "usage" if error.exit_code == 2 else "error"),
        "message": f"{error.what}: {error.why}",
        "hint": f"{error.fix}; {error.example}",
    }


def plain(value: Any) -> Any:
    """Data as JSON knows it: dataclasses become objects, paths and other scalars their text, NaN its name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key: plain(held) for key, held in _fields(value).items()}
    if isinstance(value, dict):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(held) for held in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return str(value) if isinstance(value, PurePath) else value


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, or what it says itself that programs get of it."""
    shaped = getattr(value, "to_json", None)
    return dict(shaped()) if shaped is not None else {one.name: getattr(value, one.name) for one in fields(value)}


def _text(command: str, data: Any, errors: list[dict[str, Any]], warnings: Sequence[str] = ()) -> str:
    name = command.replace(" ", "-")
    body = {"schema": f"fleet.{name}/{VERSION}", "ok": not errors, "data": plain(data), "errors": errors}
    if warnings:
        body["warnings"] = list(warnings)
    return json.dumps(body, ensure_ascii=False, allow_nan=False)
