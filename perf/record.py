"""`python -m perf.record RUN`: one finished run as one row of the throughput history.

Everything is read from the run directory, so what is recorded is what the run itself measured: the median rate over the
steps after the warm-up, both MFU conventions, and the peak memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hydra.errors import HydraError, UsageError
from hydra.runs import RunDirectory, final_record, read_events, read_json, read_metrics, read_yaml
from perf import history_file
from perf.columns import SCHEMA


def row_of(run: RunDirectory, workload: str, warmup: int, note: str = "") -> dict[str, Any]:
    """The history row of a run; its first `warmup` steps are left out. Raises UsageError when too few remain."""
    rows = read_metrics(run.metrics).current
    measured = [row for row in rows if row["step"] > warmup]
    if len(measured) < 2:
        raise UsageError(
            f"run {run.id} has {len(rows)} steps, and {len(measured)} are left after a warm-up of {warmup}",
            why="a median and its spread need at least two measured steps",
            fix="train longer, or leave out fewer steps",
            example=f"python -m perf.record {run.id} --workload {workload} --warmup 2",
        )
    manifest, environment = read_yaml(run.manifest), read_json(run.environment)
    final = final_record(read_events(run.events).events)
    ok = final is not None and final.kind == "run.completed" and not any(row["skipped"] for row in rows)
    return {
        "schema": SCHEMA,
        "timestamp_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "workload": workload,
        "config_hash": manifest["experiment_hash"],
        "run": run.id,
        **_code(manifest),
        **_host(environment, manifest),
        **_rates(measured, warmup),
        "first_step_s": rows[0]["step_ms"] / 1e3,
        "run_s": sum(row["step_ms"] for row in rows) / 1e3,
        "peak_mem_mib": max((row.get("memory_bytes", 0) for row in rows), default=0) / 2**20 or None,
        "loss_final": rows[-1]["loss"],
        "status": "ok" if ok else "unstable",
        "note": note,
    }


def _code(manifest: Mapping[str, Any]) -> dict[str, Any]:
    code = manifest.get("code") or {}
    return {"git_commit": code.get("commit"), "git_dirty": code.get("dirty")}


def _host(environment: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    gpus = environment.get("gpus") or []
    first = gpus[0] if gpus else {}
    device, host, versions = environment["device"], environment["host"], environment["versions"]
    count = manifest["layout"]["world_size"]
    on_gpu = device["kind"] == "cuda"
    memory = device.get("memory_bytes")
    return {
        "host_class": host_class(device["name"], count if on_gpu else host["cores"]),
        "cpu": None if on_gpu else device["name"],
        "cores": host["cores"],
        "os": host["system"],
        "gpu": device["name"] if on_gpu else None,
        "gpu_count": count if on_gpu else 0,
        "gpu_mem_gib": memory / 2**30 if on_gpu and memory else None,
        "driver": first.get("driver_version"),
        "cuda": versions.get("cuda"),
        "power_limit_w": str(first.get("power.limit", "")).removesuffix(" W") or None,
        "python": versions.get("python"),
        "torch": versions.get("torch"),
        "triton": versions.get("triton"),
        "deterministic": manifest["resolved"]["determinism"] == "exact",
    }


def host_class(device: str, count: int) -> str:
    """What hosts with comparable numbers share: the device's name and how many of it (cores, on a CPU)."""
    words = "".join(letter if letter.isalnum() else "-" for letter in device.lower())
    return "-".join(part for part in words.split("-") if part) + f"-x{count}"


def _rates(rows: Sequence[Mapping[str, Any]], warmup: int) -> dict[str, Any]:
    rates = [row["tokens_per_s"] for row in rows]
    deciles = statistics.quantiles(rates, n=10)
    median = statistics.median(rates)
    at_median = min(rows, key=lambda row: abs(row["tokens_per_s"] - median))
    mean = statistics.fmean(rates)
    return {
        "unit": "tok/s",
        "warmup": warmup,
        "n": len(rates),
        "median": median,
        "p10": deciles[0],
        "p90": deciles[-1],
        "mean": mean,
        "cv_pct": 100 * statistics.stdev(rates) / mean,
        "step_ms": statistics.median(row["step_ms"] for row in rows),
        "mfu_full_pct": _percent(at_median.get("mfu_full")),
        "mfu_causal_pct": _percent(at_median.get("mfu_causal")),
    }


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def main(
    run: Annotated[str, typer.Argument(help="Run id, unique beginning of one, path, or 'latest'.")],
    workload: Annotated[str, typer.Option(help="Name of the workload, under which rows are compared.")],
    warmup: Annotated[int, typer.Option(help="Steps left out at the start.")] = 20,
    directory: Annotated[Path, typer.Option(help="Folder of run directories.")] = Path("runs"),
    history: Annotated[Path, typer.Option(help="Folder of the history files.")] = Path("perf/history"),
    commit: Annotated[str, typer.Option(help="Commit of code that was copied without its repository.")] = "",
    note: Annotated[str, typer.Option(help="Free text.")] = "",
) -> None:
    """Append a finished run to the throughput history of its class of host."""
    try:
        row = row_of(RunDirectory.find(directory, run), workload, warmup, note)
    except HydraError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    if commit:
        row |= {"git_commit": commit, "git_dirty": False}
    path = history / f"{row['host_class']}.csv"
    history_file.append(path, row)
    told = f"{path}: {workload} {row['median']:,.0f} tok/s"
    if row["mfu_full_pct"] is not None:
        told += f", MFU {row['mfu_full_pct']:.1f} % full {row['mfu_causal_pct']:.1f} % causal"
    if row["peak_mem_mib"] is not None:
        told += f", {row['peak_mem_mib']:,.0f} MiB"
    typer.echo(told)


if __name__ == "__main__":
    typer.run(main)
