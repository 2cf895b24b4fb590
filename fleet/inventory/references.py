"""Names in `fleet.json` that must be those of instances: hosts on the way, and members of groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fleet.inventory.faults import Faults, closest, known
from fleet.inventory.hops import cycle, hop
from fleet.inventory.located import Path
from fleet.inventory.parts import object_of, objects_of, texts_of


def check_jumps(data: dict[str, Any], names: Collection[str], faults: Faults) -> None:
    """Hops that exist, each once, and no circles. An instance without `jump` has that of the defaults."""
    defaults, instances = object_of(data, "defaults"), objects_of(data, "instances")
    _check_hops(("defaults",), defaults, names, faults)
    for name, instance in instances.items():
        _check_hops(("instances", name), instance, names, faults)
    jumps = {
        name: tuple(texts_of(own if "jump" in own else defaults, "jump").values()) for name, own in instances.items()
    }
    for name, instance in instances.items():
        found = cycle(name, jumps)
        if found is not None:
            path = ("instances", name, "jump") if "jump" in instance else ("defaults", "jump")
            hint = "" if "jump" in instance else f'; give {name} "jump": []'
            faults.add(path, f"the way leads in a circle: {' -> '.join(found)}{hint}")


def check_group(path: Path, group: Mapping[str, Any], names: Collection[str], faults: Faults) -> None:
    """Members and spares that exist, each once; a master among the members; two ports."""
    seen: set[str] = set()
    for field in ("members", "spares"):
        for index, name in texts_of(group, field).items():
            place = (*path, field, index)
            if name in seen:
                faults.add(place, f'"{name}" is named twice')
            elif name not in names:
                faults.add(place, _no_instance(name, names))
            seen.add(name)
    members, master = texts_of(group, "members").values(), group.get("master")
    if isinstance(master, str) and members and master not in members:
        close = closest(master, members)
        hint = f'did you mean "{close}"?' if close else known(members)
        faults.add((*path, "master"), f'"{master}" is not among the members; {hint}')
    ports = group.get("master_port", 29500), group.get("lead_port", 29501)
    if ports[0] == ports[1]:
        field = "lead_port" if "lead_port" in group else "master_port"
        faults.add((*path, field), f"found {ports[0]} for both ports; expected two different ones")


def _check_hops(path: Path, part: Mapping[str, Any], names: Collection[str], faults: Faults) -> None:
    hops = texts_of(part, "jump")
    for index, text in hops.items():
        place = (*path, "jump", index)
        if text in list(hops.values())[:index]:
            faults.add(place, f'"{text}" is named twice')
        elif hop(text, names) is None:
            faults.add(place, _no_instance(text, names) + "; or write user@host:port")


def _no_instance(name: str, names: Collection[str]) -> str:
    close = closest(name, names)
    meant = f'did you mean "{close}"? ' if close else ""
    return f'"{name}" is not an instance; {meant}{known(names)}'
