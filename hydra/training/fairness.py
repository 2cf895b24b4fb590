"""What a run of a comparison owes the others: proof of its conditions at the start, of its data, and of its end.

A manifest that names a comparison makes its runs write `comparison.json`; `hydra compare` judges them all together.
Other runs do nothing here.
"""

from __future__ import annotations

from typing import Any

import torch

import hydra
from hydra.kernels import Report
from hydra.manifest import Manifest
from hydra.manifest.comparison import (
    EndRecord,
    StartRecord,
    error_of,
    start_record,
    start_violations,
    step_time,
)
from hydra.platform import Capabilities
from hydra.runs import RunDirectory, read_metrics, write_json
from hydra.training.building import Built
from hydra.training.sizes import measured
from hydra.training.stream import DIGEST


def opening(manifest: Manifest, built: Built, machine: Capabilities, report: Report) -> StartRecord | None:
    """The start record of a comparison's run, None elsewhere. Raises ComparisonError when it would not be fair."""
    if manifest.comparison is None or manifest.runs.arm is None:
        return None
    code = built.environment.get("code") or {}
    record = start_record(
        manifest,
        size=measured(manifest),
        numerics=_numerics(built),
        hardware=_hardware(built, machine),
        ops={f"{row.op} {row.direction}": row.status for row in report.rows},
        commit=code.get("commit") or hydra.__version__,
        dirty=bool(code.get("dirty")),
    )
    violations = start_violations(manifest, record)
    if violations:
        raise error_of(violations, "nothing was trained")
    return record


def _numerics(built: Built) -> dict[str, str | int | float | bool | None]:
    """Number formats and exactness as the process really has them."""
    compiled = any(getattr(block, "_compiled_call_impl", None) is not None for block in built.model.blocks)
    return {
        "compute": {torch.bfloat16: "bf16", torch.float32: "fp32"}[built.model.compute],
        "tf32": torch.get_float32_matmul_precision() != "highest",
        "determinism": "exact" if torch.are_deterministic_algorithms_enabled() else "fast",
        "compile": "blocks" if compiled else "none",
    }


def _hardware(built: Built, machine: Capabilities) -> dict[str, str | int | float | bool | None]:
    gpus = built.environment.get("gpus") or [{}]
    return {
        "device": machine.name,
        "count": built.layout.ranks,
        "driver": gpus[0].get("driver_version"),
        "torch": machine.versions["torch"],
        "threads": torch.get_num_threads(),
    }


def closing(run: RunDirectory, start: StartRecord, finished: bool) -> None:
    """Write `comparison.json` from the metrics of a run that ended."""
    rows = read_metrics(run.metrics).current
    last: dict[str, Any] = dict(rows[-1]) if rows else {}
    record = EndRecord(
        start=start,
        finished=finished,
        steps=len(rows),
        skipped=sum(row["skipped"] for row in rows),
        tokens=int(last.get("tokens", 0)),
        stream={row["step"]: str(dict(row)[DIGEST]) for row in rows if DIGEST in row},
        metrics={name: value for name, value in last.items() if name.startswith("eval.")},
        step_time=step_time([row["step_ms"] for row in rows]),
        memory_bytes=max((row["memory_bytes"] for row in rows if "memory_bytes" in row), default=None),
    )
    write_json(run.comparison, record.model_dump(mode="json"))
