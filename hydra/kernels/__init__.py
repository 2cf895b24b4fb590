"""Ops with one definition each: a reference that is the truth, implementations that must match it, and one choice.

It exists so that a report can say which implementation of every op runs, and be right.
"""

from __future__ import annotations

from hydra.kernels.registry import Candidate, Choice, Facts, calls, count, select
from hydra.kernels.report import Report, Row, report
from hydra.kernels.uses import Use, uses
from hydra.kernels.verification import Ledger

__all__ = [
    "calls",
    "Candidate",
    "Choice",
    "count",
    "Facts",
    "Ledger",
    "Report",
    "report",
    "Row",
    "select",
    "Use",
    "uses",
]
