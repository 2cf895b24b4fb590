"""The health of hosts, GPUs and runs, seen from outside: one cheap look, the rules, the inventory, the preflight.

It exists so that a start on a broken host is refused with evidence, and so that a hung driver never hangs a status.
"""

from __future__ import annotations

from fleet.health.check import Check
from fleet.health.finding import Finding, Health, blocking, worst
from fleet.health.gpuinfo import GpuInventory, gpu_inventory
from fleet.health.gpus import Gpu, GpuProcess
from fleet.health.host import Disk, Memory, Release
from fleet.health.preflight import preflight
from fleet.health.report import HostReport, HostState, failed, probe
from fleet.health.rules import LIMITS, Limits
from fleet.health.runs import RunSummary
from fleet.health.transfer import Rates, transfer_rate

__all__ = [
    "LIMITS",
    "Check",
    "Disk",
    "Finding",
    "Gpu",
    "GpuInventory",
    "GpuProcess",
    "Health",
    "HostReport",
    "HostState",
    "Limits",
    "Memory",
    "Rates",
    "Release",
    "RunSummary",
    "blocking",
    "failed",
    "gpu_inventory",
    "preflight",
    "probe",
    "transfer_rate",
    "worst",
]
