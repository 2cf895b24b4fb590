"""An instance as `fleet config show` prints it: every setting, its value and where it is from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fleet.inventory.values import DEFAULT, Address, Instance

_BY_SSH = {
    "port": "from the SSH configuration, else 22",
    "user": "from the SSH configuration, else the local user",
    "identity": "from the SSH configuration, else the agent's",
    "host_key": "from known_hosts files",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line: `port  22  fleet.json defaults.port`."""

    setting: str
    value: str
    origin: str


def view(instance: Instance) -> tuple[Row, ...]:
    """Every setting of an instance, one row for each key of a map."""
    return tuple(_rows(instance))


def _rows(instance: Instance) -> Iterator[Row]:
    fields = list(Instance.__dataclass_fields__)
    for setting, origin in sorted(instance.origins.items(), key=lambda row: fields.index(row[0].partition(".")[0])):
        field, _, key = setting.partition(".")
        value: Any = getattr(instance, field)
        if key:
            value = value[key] if isinstance(value, dict) else getattr(value, key)
            origin = origin if origin == DEFAULT else f"{origin}.{key}"
        yield Row(setting, _shown(field, value), origin)


def _shown(field: str, value: Any) -> str:
    if value is None and field != "overrides":
        return _BY_SSH.get(field, "none")
    if isinstance(value, tuple):
        return ", ".join(_hop(item) for item in value) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value.path} ({value.sha256[:16]})" if field == "uv" else str(value)


def _hop(item: Any) -> str:
    if not isinstance(item, Address):
        return str(item)
    host = f"[{item.host}]" if ":" in item.host else item.host
    return f"{item.user}@{host}" + (f":{item.port}" if item.port is not None else "")
