"""Preflight: driver, cards, what runs on them, errors, clocks and power."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fleet.health.check import Check, Status
from fleet.health.gpus import HARDWARE, MORE, REASONS, Gpu, GpuProcess, read_gpus, remarks
from fleet.health.host import Host
from fleet.health.preflight_host import as_check
from fleet.health.rules import Limits, gpu_findings, smi_findings
from fleet.health.sections import Answer
from fleet.health.values import count, decimal
from fleet.health.xid import xid_findings

_GIB: Final = 1 << 30
#: What is said when nothing else was.
_CLEAN: Final = {
    "gpu.ecc": "no uncorrectable memory errors since boot",
    "gpu.remap": "no bad memory rows wait or failed",
    "gpu.throttle": "no hardware slowdown",
    "gpu.xid": "no Xid error in the kernel log",
    "gpu.foreign": "no process of others",
    "gpu.power": "no power cap below the default",
    "gpu.clocks": "no application clocks",
    "gpu.mode": "whole cards that accept computing processes",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run wants of the GPUs."""

    indices: Sequence[int] | None
    """None: all."""
    known: tuple[str, ...]
    """UUIDs of the last good inventory."""
    allow_busy: bool

    def uses(self, index: int | None) -> bool:
        """Whether trouble with this device is the run's trouble; trouble with none in particular is."""
        return index is None or self.indices is None or index in self.indices


def gpu_checks(name: str, answer: Answer, host: Host, wanted: Wanted, limits: Limits) -> Iterator[Check]:
    """All that can be said of the GPUs of a host."""
    gpus = _with_looks(answer, read_gpus(answer, MORE))
    troubles = tuple(smi_findings(answer, gpus, remarks(answer, MORE), wanted.known))
    for finding in troubles:
        yield as_check(name, finding)
    if not gpus:
        if not troubles:
            yield Check("gpu.devices", name, "ok", "no NVIDIA GPU: runs use the processor")
        return
    listed = ", ".join(f"{gpu.index}: {gpu.name}" for gpu in gpus)
    yield Check("gpu.devices", name, "ok", f"driver {gpus[0].driver}; {listed}")
    yield from _absent(name, gpus, wanted)
    found = list(_troubles(name, answer, host, gpus, wanted, limits))
    ids = {check.id for check in found}
    yield from (Check(id_, name, "ok", evidence) for id_, evidence in _CLEAN.items() if id_ not in ids)
    yield from found


def _troubles(
    name: str, answer: Answer, host: Host, gpus: Sequence[Gpu], wanted: Wanted, limits: Limits
) -> Iterator[Check]:
    findings = [finding for gpu in gpus for finding in gpu_findings(gpu, limits)]
    findings += xid_findings(answer.find("xid"), gpus, (), host.now, host.uptime)
    for finding in findings:
        yield as_check(name, finding, blocks=wanted.uses(finding.gpu))
    for gpu in gpus:
        yield from _foreign(name, gpu, wanted)
        yield from _setting(name, gpu, wanted)


def _absent(name: str, gpus: Sequence[Gpu], wanted: Wanted) -> Iterator[Check]:
    missing = sorted(set(wanted.indices or ()) - {gpu.index for gpu in gpus})
    if missing:
        evidence = f"there is no GPU {', '.join(map(str, missing))}; there are {', '.join(str(g.index) for g in gpus)}"
        yield Check("gpu.devices", name, "fail", evidence, "choose among those, or see what became of the others")


def _foreign(name: str, gpu: Gpu, wanted: Wanted) -> Iterator[Check]:
    """Processes that are of no run of ours. One of a run of ours holds a reservation, which is looked at elsewhere."""
    foreign = [process for process in gpu.processes if process.run is None]
    if not foreign:
        return
    # A pid that means nothing here belongs to the machine around this container; it may be one of our own.
    sure = any(process.visible for process in foreign)
    blocks = sure and wanted.uses(gpu.index) and not wanted.allow_busy
    evidence = f"GPU {gpu.index} is used by {', '.join(map(_described, foreign))}"
    yield Check("gpu.foreign", name, "fail" if blocks else "warn", evidence, "wait, choose others, or --allow-busy")


def _described(process: GpuProcess) -> str:
    who = f"{process.command} of {process.user}" if process.visible else "a process that cannot be seen from here"
    memory = "" if process.memory_bytes is None else f", {process.memory_bytes / _GIB:.1f} GiB"
    return f"{who} (pid {process.pid}{memory})"


def _setting(name: str, gpu: Gpu, wanted: Wanted) -> Iterator[Check]:
    """How the card is set up: power cap, clocks, compute mode, partitions."""
    blocked: Status = "fail" if wanted.uses(gpu.index) else "warn"
    usual = decimal(gpu.more.get("power.default_limit", ""))
    if gpu.power_limit is not None and usual is not None and gpu.power_limit < usual:
        evidence = f"GPU {gpu.index} is capped at {gpu.power_limit:.0f} of {usual:.0f} W"
        yield Check("gpu.power", name, "warn", evidence, f"as root: nvidia-smi -i {gpu.index} -pl {usual:.0f}")
    if "application clocks" in gpu.throttle:
        clock, most = gpu.more.get("clocks.sm", "?"), gpu.more.get("clocks.max.sm", "?")
        evidence = f"GPU {gpu.index} is held at {clock} of {most} MHz by application clocks"
        yield Check("gpu.clocks", name, "warn", evidence, f"as root: nvidia-smi -i {gpu.index} -rac")
    if gpu.more.get("compute_mode") == "Prohibited":
        evidence = f"GPU {gpu.index} accepts no computing process (compute mode Prohibited)"
        yield Check("gpu.mode", name, blocked, evidence, f"as root: nvidia-smi -i {gpu.index} -c DEFAULT")
    if gpu.more.get("mig.mode.current") == "Enabled":
        evidence = f"GPU {gpu.index} is divided (MIG), so it is not used as a whole"
        yield Check("gpu.mode", name, blocked, evidence, f"as root: nvidia-smi -i {gpu.index} -mig 0")


def _with_looks(answer: Answer, gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs with the number of looks in a row, up to the last one, in which the hardware slowed them down."""
    looks = [{gpu.uuid: gpu.slowed for gpu in gpus}]
    for section in answer.named("throttle"):
        rows = [line.split(", ") for line in section.lines]
        looks.append({row[0]: _slowed(row[1]) for row in rows if len(row) == 2})
    counted = []
    for gpu in gpus:
        slow = [look.get(gpu.uuid, False) for look in looks]
        fast = [number for number, value in enumerate(slow) if not value]
        counted.append(replace(gpu, slowdowns=len(slow) - 1 - fast[-1] if fast else len(slow)))
    return tuple(counted)


def _slowed(reasons: str) -> bool:
    bits = count(reasons) or 0
    return any(bits & bit for bit, name in REASONS.items() if name in HARDWARE)
