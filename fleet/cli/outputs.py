"""JSON Schemas of what `--json` prints, one per command, made from the types of the results."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter

from fleet.cli.envelope import VERSION
from fleet.control.downloads import Fetched
from fleet.control.launching import Started
from fleet.control.stopping import Stopped
from fleet.environment import Ready
from fleet.release import Deployed, Pruned, RolledBack

#: Commands whose data is one typed row per host.
_ROWS: Final[dict[str, Any]] = {
    "deploy": Deployed,
    "rollback": RolledBack,
    "prune": Pruned,
    "setup": Ready,
    "train": Started,
    "resume": Started,
    "stop": tuple[Stopped, ...],
    "download": Fetched,
    "sync-keys": str,
}
#: Commands whose data is one list of objects, with the fields that are always there.
_LISTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "status": ("hosts", ("name", "state", "reason", "rtt_ms", "gpus", "runs", "release", "env", "disk", "health")),
    "overview": ("hosts", ("name", "state", "reason", "rtt_ms", "gpus", "runs", "release", "env", "disk", "health")),
    "runs": (
        "runs",
        ("id", "host", "nodes", "attempt", "state", "step", "loss", "started", "ended", "exit", "checkpoint", "reason"),
    ),
    "ps": ("processes", ("host", "run", "pid")),
    "doctor": ("checks", ("id", "host", "status", "evidence", "fix")),
}
#: Commands that print one object a line, without an envelope.
_LINES: Final[dict[str, tuple[str, ...]]] = {
    "logs": ("cursor", "seq", "time", "host", "node", "rank", "stream", "text", "partial"),
    "events": ("host", "cursor", "seq", "time", "attempt", "step", "kind", "level", "rank", "data"),
}
_ERROR: Final = {
    "type": "object",
    "required": ["host", "code", "kind", "message", "hint"],
    "properties": {
        "host": {"type": ["string", "null"]},
        "code": {"type": "integer"},
        "kind": {"type": "string"},
        "message": {"type": "string"},
        "hint": {"type": "string"},
    },
}


def schemas() -> dict[str, Any]:
    """Name of a schema -> JSON Schema of the object that a command prints under that name."""
    found = {}
    for name, row in _ROWS.items():
        schema = TypeAdapter(dict[str, row]).json_schema()  # type: ignore[valid-type]
        found[name] = _enveloped(name, schema)
    for name, (key, fields) in _LISTS.items():
        rows = {"type": "array", "items": _object(fields)}
        found[name] = _enveloped(name, {"type": "object", "required": [key], "properties": {key: rows}})
    lines = {f"fleet.{name}/{VERSION}": _object(fields) for name, fields in _LINES.items()}
    return {schema["properties"]["schema"]["const"]: schema for schema in found.values()} | lines


def _object(fields: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "object", "required": list(fields), "properties": {field: {} for field in fields}}


def _enveloped(name: str, data: dict[str, Any]) -> dict[str, Any]:
    definitions = data.pop("$defs", {})
    return {
        "type": "object",
        "required": ["schema", "ok", "data", "errors"],
        "properties": {
            "schema": {"const": f"fleet.{name}/{VERSION}"},
            "ok": {"type": "boolean"},
            "data": {"anyOf": [data, {"type": "null"}]},
            "errors": {"type": "array", "items": _ERROR},
        },
        "$defs": definitions,
    }
