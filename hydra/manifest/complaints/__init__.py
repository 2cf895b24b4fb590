"""Turning the schema's complaints into errors a person can act on: line, nearest key, correct spelling.

It exists because a schema reports what it met, and a person needs to know what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from hydra.errors import ManifestError
from hydra.manifest.complaints.faults import Fault, fault_of
from hydra.manifest.section import Section
from hydra.manifest.shape import place
from hydra.manifest.tree import Tree

__all__ = ["complaint"]

_SHOWN = 10


def complaint(error: ValidationError, tree: Tree, root: type[Section]) -> ManifestError:
    """One error for all of a manifest's faults: the likeliest cause explains itself, the rest are listed."""
    found = []
    for item in error.errors(include_url=False):
        found.append(fault_of(item, place(root, item["loc"], tree), tree))
    faults = sorted(_distinct(_without_consequences(found, tree)), key=lambda fault: fault.rank)
    first, rest = faults[0], faults[1:]
    listed = "".join(f"\n  also: {fault.what}" for fault in rest[:_SHOWN])
    more = f"\n  and {len(rest) - _SHOWN} more" if len(rest) > _SHOWN else ""
    return ManifestError(first.what + listed + more, why=first.why, fix=first.fix, example=first.example)


def _without_consequences(faults: list[Fault], tree: Tree) -> list[Fault]:
    """Leave out what only follows: inferred values, and lists that are too short because their items failed."""
    causes = [fault for fault in faults if not (tree.origin(fault.path) or "").startswith("inferred")] or faults
    return [fault for fault in causes if not (fault.counts_items and any(_is_inside(it, fault) for it in causes))]


def _is_inside(fault: Fault, other: Fault) -> bool:
    return len(fault.path) > len(other.path) and fault.path[: len(other.path)] == other.path


def _distinct(faults: Iterable[Fault]) -> list[Fault]:
    """Join the members of a union, and the copies that a repeat made of one fault."""
    by_place: dict[object, Fault] = {}
    for fault in faults:
        known = by_place.get((fault.path, fault.rank))
        by_place[fault.path, fault.rank] = known.or_else(fault) if known else fault
    by_origin: dict[object, Fault] = {}
    for fault in by_place.values():
        known = by_origin.get(fault.identity)
        by_origin[fault.identity] = known.again() if known else fault
    return list(by_origin.values())
