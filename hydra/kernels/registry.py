"""Which implementation of an op runs: chosen once from facts about the device, with the reasons against the others.

A choice never changes afterwards: not by shape, and not because a launch failed. There is no fallback, so what the
report prints is what runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from hydra.errors import Unsupported, nearest
from hydra.platform import Capabilities

#: (op, implementation, direction) -> how often the body ran outside compiled graphs.
calls: Counter[tuple[str, str, str]] = Counter()


def count(op: str, implementation: str, direction: str) -> None:
    """Note that an implementation ran. Inside a traced graph nothing is noted: a counter there would be a guard."""
    if not torch.compiler.is_compiling():
        calls[op, implementation, direction] += 1


@dataclass(frozen=True)
class Facts:
    """What a choice may depend on: the device, the number format, and what the run asked for."""

    device: str  # "cpu" or "cuda"
    compute_capability: tuple[int, int] | None  # (9, 0) on Hopper; None without CUDA
    triton: str | None  # version, None when not installed
    compute: torch.dtype  # activations and matrix products
    deterministic: bool = False  # two runs must agree in every bit
    masked: bool = True  # batches carry several documents per row

    @classmethod
    def of(cls, capabilities: Capabilities, compute: torch.dtype, *, deterministic: bool, masked: bool) -> Facts:
        """The facts of a device for one model."""
        return cls(
            device=capabilities.kind,
            compute_capability=capabilities.compute_capability,
            triton=capabilities.versions.get("triton"),
            compute=compute,
            deterministic=deterministic,
            masked=masked,
        )


@dataclass(frozen=True)
class Candidate:
    """One implementation of an op: `refusal` is a sentence a user can act on, None when it can run here."""

    name: str
    refusal: str | None
    why: str  # what makes it fit, shown in the report when it is chosen


@dataclass(frozen=True)
class Choice:
    """The implementation an op is bound to, and why each one before it was not taken."""

    op: str
    implementation: str
    why: str
    rejected: Mapping[str, str]
    pinned: bool = False

    @property
    def slow(self) -> bool:
        """Whether a reference was pinned where something faster is expected."""
        return self.pinned and self.implementation == "reference"


def select(op: str, candidates: Sequence[Candidate], facts: Facts, pins: Mapping[str, str]) -> Choice:
    """The first candidate that can run here, or the pinned one.

    Raises Unsupported when the pinned name is unknown or cannot run, when nothing can run, and when only the
    reference is left on an accelerator: a reference there is slow enough to be a mistake unless it is asked for.
    """
    known = {candidate.name: candidate for candidate in candidates}
    pinned = pins.get(op)
    if pinned is not None:
        return _pinned(op, pinned, known, facts)
    rejected: dict[str, str] = {}
    for candidate in candidates:
        if candidate.refusal is not None:
            rejected[candidate.name] = candidate.refusal
        elif candidate.name == "reference" and facts.device != "cpu":
            break
        else:
            return Choice(op, candidate.name, candidate.why, rejected)
    told = "; ".join(f"{name}: {reason}" for name, reason in rejected.items())
    raise Unsupported(
        f"no fast implementation of {op} on {facts.device} ({told})",
        why="the reference would run instead, many times slower, and a run should not be slow by accident",
        fix="remove the reason named above, or accept the slow path by pinning it",
        example=f"kernels: {{pin: {{{op}: reference}}}}",
    )


def _pinned(op: str, name: str, known: Mapping[str, Candidate], facts: Facts) -> Choice:
    candidate = known.get(name)
    if candidate is None:
        close = nearest(name, known)
        raise Unsupported(
            f"kernels.pin names {name!r} for {op}, which has no such implementation",
            why=f"the implementations are {', '.join(known)}",
            fix=f"did you mean '{close}'?" if close else "use one of them, or remove the pin",
            example=f"kernels: {{pin: {{{op}: {next(iter(known))}}}}}",
        )
    if candidate.refusal is not None:
        raise Unsupported(
            f"kernels.pin asks for {op}: {name}, which cannot run on this {facts.device}",
            why=candidate.refusal,
            fix="remove the pin, or the reason",
            example=f"kernels: {{pin: {{}}}}  # lets Hydra choose {op}",
        )
    rejected = {other.name: other.refusal or "not pinned" for other in known.values() if other.name != name}
    return Choice(op, name, candidate.why, rejected, pinned=True)
