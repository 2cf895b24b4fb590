"""What makes a comparison unfair, as data: a group of settings, a sentence, and the values by arm.

All violations are collected before anything is said, because fixing one and meeting the next on every start teaches
nobody what a fair comparison is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.errors import ComparisonError
from hydra.manifest.flow import short

_EXAMPLE = "comparison: {apples_to_apples: true, arms: [base, wide], varies: [model.blocks]}"


@dataclass(frozen=True)
class Row:
    """One path at which something is wrong, and its value in every arm."""

    path: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Violation:
    """One rule that a comparison breaks."""

    group: str
    what: str
    rows: tuple[Row, ...] = ()


def error_of(
    violations: Sequence[Violation], consequence: str = "the run stops and the comparison is void"
) -> ComparisonError:
    """One error that reports them all, with a table of paths and values."""
    count = len(violations)
    title = f"the comparison is unfair in {count} {'way' if count == 1 else 'ways'}; {consequence}"
    return ComparisonError(
        title + "".join(f"\n  {_text(violation)}" for violation in violations),
        why="a difference between arms means something only if nothing else differs and enough seeds were run",
        fix="make the arms equal outside comparison.varies, or set comparison.apples_to_apples: false",
        example=_EXAMPLE,
    )


def _text(violation: Violation) -> str:
    lines = [f"{violation.group}: {violation.what}"]
    if violation.rows:
        arms = list(dict.fromkeys(arm for row in violation.rows for arm in row.values))
        table = [["path", *arms]]
        table += [[row.path, *(short(row.values.get(arm, ""), 24) for arm in arms)] for row in violation.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            lines.append("    " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    return "\n  ".join(line.rstrip() for line in lines)
