"""Which checkpoints stay. Pure functions of what is on the disk, so that nothing needs to be remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.manifest.sections import Checkpoint


@dataclass(frozen=True, slots=True)
class Entry:
    """A complete checkpoint as far as retention cares."""

    step: int
    serial: int
    """The highest is the newest."""
    metric: float | None
    """Bits per byte; lower is better; None if it was not measured at this step."""


def kept(entries: Sequence[Entry], policy: Checkpoint) -> set[int]:
    """Steps that stay: the newest `keep_last`, multiples of `keep_every`, the best `keep_best`."""
    newest = sorted(entries, key=lambda entry: -entry.serial)[: policy.keep_last]
    stay = {entry.step for entry in newest}
    if policy.keep_every:
        stay |= {entry.step for entry in entries if entry.step % policy.keep_every == 0}
    return stay | {entry.step for entry in _ranked(entries)[: policy.keep_best]}


def best(entries: Sequence[Entry]) -> int | None:
    """The step with the lowest metric, the newest of equals; None if none was measured."""
    ranked = _ranked(entries)
    return ranked[0].step if ranked else None


def _ranked(entries: Sequence[Entry]) -> list[Entry]:
    measured = [(entry.metric, -entry.serial, entry) for entry in entries if entry.metric is not None]
    return [entry for _, _, entry in sorted(measured, key=lambda item: item[:2])]
