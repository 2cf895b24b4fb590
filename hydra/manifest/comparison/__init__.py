"""Fair comparison: what must be equal between arms, checked before, while and after their runs.

It exists because a difference between two models means something only if nothing else differed. Imports no torch.
"""

from __future__ import annotations

from hydra.manifest.comparison.plan import Measure, check_plan, plan_violations
from hydra.manifest.comparison.records import (
    EndRecord,
    StartRecord,
    StepTime,
    expected_numerics,
    start_record,
    start_violations,
)
from hydra.manifest.comparison.sizes import Size, check_sizes
from hydra.manifest.comparison.stream import EVERY, StreamDigest
from hydra.manifest.comparison.timing import step_time
from hydra.manifest.comparison.verdict import METRICS, Finding, Verdict, compare_runs
from hydra.manifest.comparison.violations import Row, Violation, error_of

__all__ = [
    "EVERY",
    "METRICS",
    "EndRecord",
    "Finding",
    "Measure",
    "Row",
    "Size",
    "StartRecord",
    "StepTime",
    "StreamDigest",
    "Verdict",
    "Violation",
    "check_plan",
    "check_sizes",
    "compare_runs",
    "error_of",
    "expected_numerics",
    "plan_violations",
    "start_record",
    "start_violations",
    "step_time",
]
