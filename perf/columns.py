"""The columns of the throughput history: one row per measured run, comparable only where identity columns agree."""

from __future__ import annotations

SCHEMA = 1

#: In file order. Empty means not known; zero means zero.
COLUMNS: tuple[str, ...] = (
    # identity
    "schema", "timestamp_utc", "workload", "config_hash", "run",
    # code
    "git_commit", "git_dirty",
    # host
    "host_class", "cpu", "cores", "os",
    # device
    "gpu", "gpu_count", "gpu_mem_gib", "driver", "cuda", "power_limit_w",
    # software
    "python", "torch", "triton", "deterministic",
    # measure: over the steps after the warm-up
    "unit", "warmup", "n", "median", "p10", "p90", "mean", "cv_pct", "step_ms", "first_step_s", "run_s",
    "peak_mem_mib", "mfu_full_pct", "mfu_causal_pct", "loss_final",
    # judgement
    "status", "note",
)  # fmt: skip
