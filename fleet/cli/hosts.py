"""Hosts as tables."""

from __future__ import annotations

from typing import Final

from fleet.cli.options import Invocation
from fleet.cli.output import remark, table, write
from fleet.cli.quantities import duration, gib, number
from fleet.control.report import Report
from fleet.health import Gpu, HostReport, RunSummary

_HOSTS: Final = ("host", "state", "ping ms", "load", "free GiB", "release", "health")
_GPUS: Final = ("host", "gpu", "name", "use %", "memory GiB", "°C", "W")
_RUNS: Final = ("host", "run", "state", "step", "loss", "tokens/s", "last line")


def show_hosts(invocation: Invocation, report: Report[HostReport]) -> None:
    """All hosts, their GPUs and their live runs; why a host is not up, and what its health says, on stderr."""
    rows = list(report.rows.values())
    table(invocation, _HOSTS, [_host(row) for row in rows], right=("ping ms", "load", "free GiB"))
    gpus = [_gpu(row.name, gpu) for row in rows for gpu in row.gpus]
    if gpus:
        write("")
        table(invocation, _GPUS, gpus, right=_GPUS[3:])
    runs = [_run(row.name, run) for row in rows for run in row.runs if run.live or len(rows) == 1]
    if runs:
        write("")
        table(invocation, _RUNS, runs, right=_RUNS[3:])
    hints = {error.host: f"; {error.fix}: {error.example}" for error in report.errors}
    for row in rows:
        if row.reason:
            remark(invocation, f"{row.name}: {row.reason}{hints.get(row.name, '')}")
        for finding in row.health:
            if finding.state != "healthy":
                remark(invocation, f"{row.name}: {finding.state}: {finding.evidence}")


def show_detail(invocation: Invocation, row: HostReport) -> None:
    """What is only shown of a single host: releases, environments, and processes on its GPUs that are not ours."""
    if row.releases:
        write("")
        cells = [(release.id, "current" if release.current else "", duration(release.age)) for release in row.releases]
        table(invocation, ("release", "", "age"), cells)
    if row.environments:
        write(f"\nenvironments: {', '.join(row.environments)}")
    for gpu in row.gpus:
        for process in gpu.processes:
            if process.run is None:
                write(
                    f"gpu {gpu.index}: process {process.pid} of {process.user or 'somebody'}: {process.command or '?'}"
                )
    for run in row.runs:
        if run.reason:
            remark(invocation, f"{run.id}: {run.state}: {run.reason}")


def _host(row: HostReport) -> tuple[str, ...]:
    worst = [finding.id for finding in row.health if finding.state != "healthy"]
    return (
        row.name,
        row.state,
        "" if row.rtt_ms is None else f"{row.rtt_ms:.0f}",
        f"{row.load[0]:.1f}" if row.load else "",
        "" if row.disk is None else gib(row.disk.free),
        row.release or "",
        ", ".join(worst) or ("ok" if row.state == "up" else ""),
    )


def _gpu(host: str, gpu: Gpu) -> tuple[str, ...]:
    used = "" if gpu.memory_used is None else gib(gpu.memory_used)
    total = "" if gpu.memory_total is None else f"/{gib(gpu.memory_total)}"
    return (
        host,
        str(gpu.index),
        gpu.name,
        number(gpu.utilization),
        f"{used}{total}",
        number(gpu.temperature),
        number(gpu.power),
    )


def _run(host: str, run: RunSummary) -> tuple[str, ...]:
    total = "" if run.total_steps is None else f"/{run.total_steps}"
    state = run.state or "unknown"
    return (
        host,
        run.id,
        f"{state} ({run.phase})" if run.live and run.phase else state,
        "" if run.step is None else f"{run.step}{total}",
        "" if run.loss is None else f"{run.loss:.4g}",
        number(run.tokens_per_s),
        duration(run.age),
    )
