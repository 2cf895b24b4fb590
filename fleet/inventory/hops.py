"""The way to a host: `jump` names instances or writes addresses, and no way may lead back to where it began."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence

from fleet.inventory.values import Address, Hop

_HOST = r"\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*"
_ADDRESS = re.compile(rf"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.$-]*)@(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?")


def hop(text: str, instances: Container[str]) -> Hop | None:
    """An instance's name as it is, `user@host:port` as its parts; None for what is neither."""
    if text in instances:
        return text
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    port = int(found["port"]) if found["port"] is not None else None
    if port is not None and not 1 <= port <= 65535:
        return None
    return Address(found["user"], found["host"].strip("[]"), port)


def cycle(start: str, jumps: Mapping[str, Sequence[str]]) -> tuple[str, ...] | None:
    """The shortest way from an instance over the jumps of its jumps back to itself, or None."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    for way in ways:
        for name in jumps.get(way[-1], ()):
            if name == start:
                return (*way, name)
            if name not in seen:
                seen.add(name)
                ways.append((*way, name))
    return None
