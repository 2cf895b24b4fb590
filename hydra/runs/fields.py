"""What a line of `metrics.jsonl` may hold: every field with its unit, for writers, readers and the axes of plots."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Required, TypedDict

METRICS_SCHEMA: Final = 1


class MetricRow(TypedDict, total=False):
    """One optimizer step. Fields that a run does not measure are absent; numbers may be NaN or infinite.

    Beside these, names with a dot are free: `eval.bits_per_byte`, `optimizer.muon_norm`. A name without a dot that is
    not listed here is a mistake of the writer.
    """

    schema: Required[int]
    """Version of this table."""
    attempt: Required[int]
    """Which attempt of the run wrote the line, from 1. For a step written twice the highest attempt counts."""
    step: Required[int]
    """Optimizer steps completed."""
    time: Required[float]
    """When the step ended, Unix seconds."""
    samples: int
    """Rows consumed so far, those of skipped steps included."""
    tokens: int
    """Target tokens trained so far."""
    loss: float
    """Nats per target token of the global batch."""
    loss_sources: dict[str, float]
    """The same for each source of the mix."""
    lr: float
    """Learning rate applied."""
    grad_norm: float
    """Global gradient norm before clipping."""
    clip: float
    """Factor applied by clipping; 1 means none."""
    verdict: str
    """What the guard found: `ok`, `nonfinite` or `spike`."""
    skipped: bool
    """Whether the update was withheld."""
    step_ms: float
    """Milliseconds of device time from end of step to end of step."""
    tokens_per_s: float
    """All input tokens, padding excluded, over wall time, gradient accumulation included; all devices together."""
    tokens_per_s_gpu: float
    """The same for each device."""
    mfu_full: float
    """Model FLOP utilisation, attention counted over all pairs; a fraction of the dense bf16 peak."""
    mfu_causal: float
    """The same with attention counted over the causal half."""
    mfu_mask: float
    """The same with attention counted over the pairs that windows and document masks leave."""
    mfu_fp8: float
    """The same as `mfu_full` over the fp8 peak; fp8 runs only."""
    memory_bytes: int
    """Peak bytes allocated on a device since the line before, maximum over ranks."""
    memory_reserved_bytes: int
    """Peak bytes reserved on a device since the line before, maximum over ranks."""
    data_wait_ms: float
    """Milliseconds that the host waited for a batch."""
    comm_exposed_ms: float
    """Milliseconds of communication that nothing hid."""
    device_idle_ms: float
    """Milliseconds of gaps on the compute stream."""
    control_wait_ms: float
    """Milliseconds that the host waited for the ranks to agree on requests."""


#: Field name -> unit, for tables and axes; empty for what has none.
METRIC_UNITS: Final[dict[str, str]] = {
    "schema": "",
    "attempt": "",
    "step": "steps",
    "time": "s",
    "samples": "rows",
    "tokens": "tokens",
    "loss": "nats/token",
    "loss_sources": "nats/token",
    "lr": "",
    "grad_norm": "",
    "clip": "",
    "verdict": "",
    "skipped": "",
    "step_ms": "ms",
    "tokens_per_s": "tokens/s",
    "tokens_per_s_gpu": "tokens/s",
    "mfu_full": "",
    "mfu_causal": "",
    "mfu_mask": "",
    "mfu_fp8": "",
    "memory_bytes": "bytes",
    "memory_reserved_bytes": "bytes",
    "data_wait_ms": "ms",
    "comm_exposed_ms": "ms",
    "device_idle_ms": "ms",
    "control_wait_ms": "ms",
}


def unknown_fields(names: Iterable[str]) -> list[str]:
    """Those of some field names that the table does not know: without a dot and not listed."""
    return sorted(name for name in names if "." not in name and name not in METRIC_UNITS)
