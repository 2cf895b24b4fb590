"""Hosts as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import typer

from fleet.cli.options import Invocation
from fleet.cli.output import remark, table, write
from fleet.cli.quantities import duration, gib, number
from fleet.control.report import Report
from fleet.health import Gpu, HostReport, RunSummary

if TYPE_CHECKING:
    from fleet.environment import Ready

_HOSTS: Final = ("host", "state", "ping ms", "load", "free GiB", "release", "health")
_GPUS: Final = ("host", "gpu", "name", "use %", "memory GiB", "°C", "W")
_ENVIRONMENTS: Final = ("environment", "mode", "Python", "torch", "CUDA", "NCCL", "driver", "packages")
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
            # Said even when quiet: it is what an exit code other than 0 stands for.
            typer.echo(f"{row.name}: {row.reason}{hints.get(row.name, '')}", err=True)
        for finding in row.health:
            if finding.state != "healthy":
                remark(invocation, f"{row.name}: {finding.state}: {finding.evidence}")
        for run in row.runs:
            if run.state == "lost":
                line = f"fleet resume {row.name} --run {run.id}"
                remark(invocation, f"{row.name}: run {run.id} is lost ({run.reason}); continue it: {line}")


def show_detail(invocation: Invocation, row: HostReport, environments: Sequence[Ready]) -> None:
    """What is only shown of a single host: releases, environments, and processes on its GPUs that are not ours."""
    if row.releases:
        write("")
        cells = [(release.id, "current" if release.current else "", duration(release.age)) for release in row.releases]
        table(invocation, ("release", "", "age"), cells)
    if environments:
        write("")
        table(invocation, _ENVIRONMENTS, [_environment(one) for one in environments], right=("packages",))
    for gpu in row.gpus:
        for process in gpu.processes:
            if process.run is None:
                write(
                    f"gpu {gpu.index}: process {process.pid} of {process.user or 'somebody'}: {process.command or '?'}"
                )
    for run in row.runs:
        if run.reason and run.state != "lost":
            remark(invocation, f"{run.id}: {run.state}: {run.reason}")


def _environment(one: Ready) -> tuple[str, ...]:
    driver = f"{one.driver} (CUDA {one.driver_cuda})" if one.driver else ""
    found = (one.environment, one.mode, one.version, one.torch or "", one.cuda or "", one.nccl or "", driver)
    return (*found, str(len(one.packages)))


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
