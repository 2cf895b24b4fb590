"""Names in `fleet.json` that must be those of instances: hosts on the way, and members of groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.inventory.faults import Faults, closest, known
from fleet.inventory.hops import cycle, hop
from fleet.inventory.located import Path


def check_jumps(data: dict[str, Any], instances: Mapping[str, Mapping[str, Any]], faults: Faults) -> None:
    """Hops that exist, each once, and no circles. An instance without `jump` has that of the defaults."""
    inherited = _texts(_object(data, "defaults").get("jump"))
    for path, section in [(("defaults",), _object(data, "defaults")), *_named("instances", instances)]:
        hops = _texts(section.get("jump"))
        for index, text in hops.items():
            place = (*path, "jump", index)
            if text in list(hops.values())[:index]:
                faults.add(place, f'"{text}" is named twice')
            elif hop(text, instances) is None:
                faults.add(place, _no_instance(text, instances, "; or write user@host:port"))
    jumps = {
        name: list((_texts(own["jump"]) if "jump" in own else inherited).values()) for name, own in instances.items()
    }
    for name, instance in instances.items():
        found = cycle(name, jumps)
        if found is not None:
            path = ("instances", name, "jump") if "jump" in instance else ("defaults", "jump")
            hint = "" if "jump" in instance else f'; give {name} "jump": []'
            faults.add(path, f"the way leads in a circle: {' -> '.join(found)}{hint}")


def check_group(path: Path, group: Mapping[str, Any], instances: Mapping[str, Any], faults: Faults) -> None:
    members, spares, master = _texts(group.get("members")), _texts(group.get("spares")), group.get("master")
    seen: set[str] = set()
    for field, names in (("members", members), ("spares", spares)):
        for index, name in names.items():
            place = (*path, field, index)
            if name in seen:
                faults.add(place, f'"{name}" is named twice')
            elif name not in instances:
                faults.add(place, _no_instance(name, instances))
            seen.add(name)
    if isinstance(master, str) and members and master not in members.values():
        close = closest(master, members.values())
        meant = f'; did you mean "{close}"?' if close else ""
        faults.add((*path, "master"), f'"{master}" is not among the members{meant or "; " + known(members.values())}')
    ports = group.get("master_port", 29500), group.get("lead_port", 29501)
    if ports[0] == ports[1]:
        field = "lead_port" if "lead_port" in group else "master_port"
        faults.add((*path, field), f"found {ports[0]} for both ports; expected two different ones")


def _no_instance(name: str, instances: Mapping[str, Any], otherwise: str = "") -> str:
    close = closest(name, instances)
    meant = f'did you mean "{close}"? ' if close else ""
    return f'"{name}" is not an instance; {meant}{known(instances)}{otherwise}'


def _texts(value: Any) -> dict[int, str]:
    return {index: text for index, text in enumerate(value) if isinstance(text, str)} if isinstance(value, list) else {}
