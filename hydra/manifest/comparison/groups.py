"""The groups of settings that a fair comparison speaks of, and the paths that belong to each."""

from __future__ import annotations

from collections.abc import Iterable

from hydra.manifest.paths import parsed

#: First match wins; a path belongs to a group when it is one of its prefixes or lies below one.
_GROUPS: dict[str, tuple[str, ...]] = {
    "data": ("data", "tokenizer"),
    "budget": ("training.steps", "training.batch", "training.micro_batch"),
    "seeds": ("seeds", "comparison.seeds"),
    "optimiser": ("optimizer", "schedule", "training.clip"),
    "numerics": ("precision", "kernels", "training.determinism", "training.compile", "training.threads"),
    "hardware": ("parallel", "training.device", "training.activation_checkpointing"),
    "evaluation": ("evaluation", "checkpoint"),
    "model": ("model",),
}
OPTIMISER = "optimiser"
MODEL = "model"


def group_of(path: str) -> str:
    """The group of a dotted path; what belongs to none is `other`."""
    for group, prefixes in _GROUPS.items():
        if any(covers(prefix, path) for prefix in prefixes):
            return group
    return "other"


def covers(pattern: str, path: str) -> bool:
    """Whether a dotted path is the pattern's place or lies below it; `*` in the pattern is any one part.

    Text that is no dotted path covers nothing.
    """
    try:
        wanted, given = parsed(pattern), parsed(path)
    except ValueError:
        return False
    return len(wanted) <= len(given) and all(map(_same, wanted, given))


def covered(patterns: Iterable[str], path: str) -> bool:
    """Whether any of the patterns covers the path."""
    return any(covers(pattern, path) for pattern in patterns)


def _same(want: str | int, part: str | int) -> bool:
    return want in ("*", part)
