"""What a schema cannot say: names that must exist, ways that lead in circles, secrets in the wrong place.

Every check takes the data as it is in the file and skips what the schema has refused already, so that all mistakes of
a file are told together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fleet.inventory import profiles
from fleet.inventory.faults import Faults, closest, known, shown
from fleet.inventory.located import Path
from fleet.inventory.overrides import settings
from fleet.inventory.parts import object_of, objects_of
from fleet.inventory.references import check_group, check_jumps
from fleet.redaction import is_secret_name
from hydra.manifest.paths import dotted


def check_meaning(data: Any, faults: Faults) -> None:
    """Everything that one value alone does not show."""
    for path, line in faults.located.twice:
        faults.add(path, f"given twice; first on line {faults.located.line(path)}", line=line)
    if not isinstance(data, dict):
        return
    instances, groups = objects_of(data, "instances"), objects_of(data, "groups")
    for name in sorted(set(instances) & set(groups)):
        faults.add(("groups", name), "an instance has this name, too; a target could mean either")
    for path, part in _parts(data):
        _check_env(path, object_of(part, "env"), faults)
        _check_overrides(path, object_of(part, "overrides"), faults)
        _check_folder(path, part.get("deploy_dir"), faults)
        _check_profile(path, part.get("gpu"), faults)
        _check_devices(path, part.get("gpus"), faults)
    for name, instance in instances.items():
        _check_merged(("instances", name), object_of(data, "defaults"), instance, faults)
    if isinstance(data.get("instances"), dict):
        # A name exists even where its instance is not described as it should be.
        names = tuple(data["instances"])
        check_jumps(data, names, faults)
        for name, group in groups.items():
            check_group(("groups", name), group, names, faults)


def _parts(data: dict[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every object that may hold settings of instances, with its path."""
    yield ("defaults",), object_of(data, "defaults")
    for field in ("instances", "groups"):
        for name, part in objects_of(data, field).items():
            yield (field, name), part


def _check_env(path: Path, env: Mapping[str, Any], faults: Faults) -> None:
    for name in env:
        if is_secret_name(name):
            fix = 'name it in "secrets.allow" and keep its value in the file that "secrets.file" names'
            faults.add((*path, "env", name), f"looks like a secret, and env is no place for one; {fix}")
        elif name.startswith("FLEET_"):
            faults.add((*path, "env", name), "begins with FLEET_, and those are set by fleet itself")


def _check_overrides(path: Path, overrides: Mapping[str, Any], faults: Faults) -> None:
    if not overrides:
        return
    # The manifest's schema takes a tenth of a second to import.
    from fleet.inventory.manifest_paths import fault_of

    before: dict[Path, Path] = {}
    for below, setting, value in settings(dict(overrides)):
        place = (*path, "overrides", *below)
        if setting is None:
            faults.add(place, "is no path of a setting; expected one such as training.batch")
            continue
        other = next((earlier for earlier in before if _overlap(earlier, setting)), None)
        if other is not None:
            line = faults.located.line((*path, "overrides", *before[other]))
            faults.add(place, f"sets {dotted(setting)}, but line {line} sets {dotted(other)} already")
        elif isinstance(value, dict | list):
            faults.add(place, f"found {shown(value)}; expected text, a number, true, false or null")
        elif (fault := fault_of(setting, value)) is not None:
            faults.add(place, fault)
        before[setting] = below


def _overlap(one: Path, other: Path) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _check_folder(path: Path, folder: Any, faults: Faults) -> None:
    if isinstance(folder, str) and {"..", "."} & set(folder.split("/")):
        faults.add((*path, "deploy_dir"), f'found {shown(folder)}; expected a folder without "." and ".." in its path')


def _check_profile(path: Path, name: Any, faults: Faults) -> None:
    choices = ("auto", *profiles.NAMES)
    if isinstance(name, str) and name and name not in choices:
        close = closest(name, choices)
        meant = f'did you mean "{close}"? ' if close else ""
        faults.add((*path, "gpu"), f"{shown(name)} is no profile; {meant}{known(choices)}")


def _check_devices(path: Path, indices: Any, faults: Faults) -> None:
    listed = indices if isinstance(indices, list) else []
    for place, index in enumerate(listed):
        if isinstance(index, int) and index in listed[:place]:
            faults.add((*path, "gpus", place), f"{index} is named twice")


def _check_merged(path: Path, defaults: Mapping[str, Any], instance: Mapping[str, Any], faults: Faults) -> None:
    """What must hold for an instance together with the defaults."""
    secrets = {**object_of(defaults, "secrets"), **object_of(instance, "secrets")}
    for field in ("file", "allow"):
        if secrets and field not in secrets:
            at = (*path, "secrets") if "secrets" in instance else ("defaults", "secrets")
            faults.add(at, f'has no "{field}", here or in the defaults; secrets need both "file" and "allow"')
    times = {"interval": 3, "limit": 6, **object_of(defaults, "watchdog"), **object_of(instance, "watchdog")}
    interval, limit = times["interval"], times["limit"]
    if isinstance(interval, int | float) and isinstance(limit, int | float) and limit <= interval:
        at = (*path, "watchdog") if "watchdog" in instance else ("defaults", "watchdog")
        faults.add(at, f"found limit {limit} and interval {interval}; expected a limit longer than the interval")
