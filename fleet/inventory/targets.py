"""Which hosts a command is for: an instance, a group, several names with commas, or all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fleet.errors import Usage
from fleet.inventory.values import Group, Instance, Inventory
from hydra.errors import nearest

Purpose: TypeAlias = Literal["look", "change", "deploy", "setup", "bench", "train", "resume", "stop"]
#: For these a group is one run on all its members; elsewhere it is its members.
_RUNS = frozenset({"train", "resume", "stop"})
#: With --all these leave out hosts that only lead to others.
_WORK = frozenset({"deploy", "setup", "bench", "train", "resume"})


@dataclass(frozen=True, slots=True)
class Targets:
    """What a command is for."""

    units: tuple[Instance | Group, ...]
    """What is acted on as one: for runs a group is one unit, elsewhere every instance is."""
    instances: tuple[Instance, ...]
    """All hosts of the units, each once, in their order."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Instances that `--all` left out, with the reason."""


def resolve(inventory: Inventory, text: str | None, *, purpose: Purpose, all: bool = False) -> Targets:
    """The targets that a command line names. Raises Usage, listing what exists, for no name or an unknown one."""
    if all and text is not None:
        raise _usage(f'both "{text}" and --all', inventory, "give one of them")
    if all:
        return _all(inventory, purpose)
    if text is None:
        raise _usage("no target", inventory, "name an instance or a group, several with commas, or --all")
    names = [name.strip() for name in text.split(",")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _usage(f'"{twice[0]}" is named twice in "{text}"', inventory, "name each target once")
    units = [_named(inventory, name) for name in names]
    if purpose in _RUNS:
        _check_spares(inventory, units, purpose)
        return Targets(tuple(units), _instances(inventory, units))
    instances = _instances(inventory, units)
    return Targets(instances, instances)


def _all(inventory: Inventory, purpose: Purpose) -> Targets:
    skipped: dict[str, str] = {}
    for name, instance in inventory.instances.items():
        if instance.role == "jump" and purpose in _WORK:
            skipped[name] = "its role is jump: it only leads to other hosts"
        elif instance.role == "spare" and purpose == "train":
            skipped[name] = "its role is spare: it trains only when named"
    chosen = tuple(one for name, one in inventory.instances.items() if name not in skipped)
    if not chosen:
        raise _usage("--all means no host here", inventory, "name a host")
    return Targets(chosen, chosen, tuple(skipped.items()))


def _named(inventory: Inventory, name: str) -> Instance | Group:
    found = inventory.instances.get(name) or inventory.groups.get(name)
    if found is None:
        close = nearest(name, [*inventory.instances, *inventory.groups])
        fix = f'did you mean "{close}"?' if close else "name one that exists"
        raise _usage(f'there is no "{name}"' if name else "an empty name", inventory, fix, close)
    return found


def _instances(inventory: Inventory, units: Iterable[Instance | Group]) -> tuple[Instance, ...]:
    names = [name for unit in units for name in (unit.members if isinstance(unit, Group) else (unit.name,))]
    return tuple(inventory.instances[name] for name in dict.fromkeys(names))


def _check_spares(inventory: Inventory, units: Iterable[Instance | Group], purpose: Purpose) -> None:
    """A spare that is a member of a group was not named by the one who starts the run."""
    groups = [unit for unit in units if isinstance(unit, Group) and purpose == "train"]
    for group in groups:
        spares = [name for name in group.members if inventory.instances[name].role == "spare"]
        if spares:
            raise Usage(
                f'{", ".join(spares)} in group "{group.name}" has the role spare',
                why="a spare is kept for the failure of another host, and trains only when it is named itself",
                fix='take it out of the members, or give it "role": "training"',
                example=f'"{spares[0]}": {{"role": "training"}}',
            )


def _usage(what: str, inventory: Inventory, fix: str, example: str | None = None) -> Usage:
    instances = ", ".join(inventory.instances) or "none"
    groups = f"; groups: {', '.join(inventory.groups)}" if inventory.groups else ""
    return Usage(
        what,
        why=f"{inventory.path.name} has instances: {instances}{groups}",
        fix=fix,
        example=f"fleet status {example or next(iter(inventory.instances), '--all')}",
    )
