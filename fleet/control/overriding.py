"""What overrides change in a run that exists: checked against its stored manifest before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet.errors import Usage

#: Sections that give the weights their shape and meaning.
_SHAPE: Final = ("model", "tokenizer")


@dataclass(frozen=True, slots=True)
class Change:
    """One setting in which the continued run differs from the stored one."""

    name: str
    was: Any
    becomes: Any


def changes(host: str, run: str, stored: dict[str, Any] | None, overrides: Sequence[str]) -> tuple[Change, ...]:
    """What the overrides change. One that sets what is set already changes nothing.

    Raises ManifestError for an override that is not valid, Usage for one that a run in the middle cannot take.
    """
    if not overrides:
        return ()
    if stored is None or "manifest" not in stored:
        raise Usage(
            f"run {run} on {host} has no stored settings in manifest.yaml, so nothing can be changed in it",
            why="its trainer ended before it had written what it was going to train",
            fix="start a new run with these settings",
            example=f"fleet train {host} -- --set {overrides[0]}",
            host=host,
        )
    # Imported late: the schema costs more than most commands.
    from hydra.manifest import difference, from_tree
    from hydra.manifest.identity import resolved

    before = resolved(from_tree(stored["manifest"]).runs[0].manifest)
    after = resolved(from_tree(stored["manifest"], overrides, origins=stored.get("origins")).runs[0].manifest)
    found = tuple(Change(name, was, becomes) for name, (was, becomes) in difference(before, after).items())
    for change in found:
        _refuse(host, change)
    return found


def named(found: Sequence[Change]) -> tuple[str, ...]:
    """The trainer's arguments that say that these changes are meant."""
    from hydra.manifest.identity import OUTSIDE_EXPERIMENT

    paths = [change.name for change in found if change.name.split(".")[0] not in OUTSIDE_EXPERIMENT]
    return tuple(part for path in paths for part in ("--changed", path))


def _refuse(host: str, change: Change) -> None:
    why = ""
    if change.name.split(".")[0] in _SHAPE:
        why = "the stored weights have the old shape, or were trained on other tokens"
    elif change.name == "training.batch":
        why = "the step's number times the batch says which samples come next; some would be skipped or seen twice"
    if why:
        raise Usage(
            f"{change.name} would change from {change.was} to {change.becomes} in the middle of a run",
            why=why,
            fix="start a new run with it",
            example=f"fleet train {host} -- --set {change.name}={change.becomes}",
            host=host,
        )
