"""The rules by which a host is healthy, worth a warning, or not fit to start a run on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fleet.health.finding import Finding, Health
from fleet.health.gpus import Gpu
from fleet.health.host import Disk, Host, Memory
from fleet.health.runs import RunSummary
from fleet.health.sections import Answer

_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers in the rules."""

    low: float = 0.10
    """Share of disk, inodes or memory that is left, below which to warn."""
    empty: float = 0.02
    """The same for a failure."""
    free_gib: float = 20.0
    """Free disk below which to warn, GiB."""
    temperature: float = 90.0
    """Degrees Celsius of a GPU from which to warn; data-centre cards slow down at about 90."""
    slowdowns: int = 3
    """Looks in a row in which the hardware slowed a GPU down, from which to warn."""
    clock: float = 5.0
    """Seconds between the host's clock and ours, beyond the time that the question took."""
    stalled: float = 300.0
    """Seconds without a step while training; or `stalled_steps` usual steps, if that is longer."""
    stalled_steps: float = 10.0
    stalled_phase: float = 1800.0
    """The same while compiling, evaluating or saving, which take long without being stuck."""
    heartbeat: float = 60.0
    """Seconds without a heartbeat of a live run; one comes every second."""


LIMITS: Final = Limits()

#: Exit statuses of nvidia-smi, from its manual.
STATUSES: Final = {
    2: "it refused the question",
    3: "the operation is not available on this device",
    4: "no permission",
    6: "no such device was found",
    8: "external power cables are not attached",
    9: "the NVIDIA driver is not loaded",
    10: "the kernel found an interrupt problem with a GPU",
    12: "the NVML library could not be found or loaded",
    13: "the NVML library is older or newer than the driver",
    14: "a checksum in the card's own records is wrong",
    15: "a GPU fell off the bus or cannot be reached",
    124: "it did not answer in time and was killed",
    125: "it ended without an answer",
    255: "internal driver error",
}


def smi_findings(answer: Answer, gpus: Sequence[Gpu], said: Sequence[str], known: Sequence[str]) -> Iterator[Finding]:
    """Whether nvidia-smi answers, and whether it shows all the GPUs that the host had when it was last good."""
    told = next((part for part in answer.named("smi") if part.word(0) != "0"), answer.find("smi"))
    words = f": {' | '.join(said[:3])}" if said else ""
    fix = "see the kernel log; a reboot of the host is the usual cure"
    match told.word(0):
        case "stuck":
            age, pid = told.word(2), told.word(1)
            evidence = f"nvidia-smi (process {pid}) has not answered for {age} s; no other one was started"
            yield Finding("gpu.smi", "failure", evidence, fix=fix)
        case "busy":
            yield Finding("gpu.smi", "failure", "an earlier nvidia-smi does not end; no other one was started", fix=fix)
        case "missing":
            evidence = "the NVIDIA driver is loaded, but there is no nvidia-smi on PATH"
            yield Finding("gpu.smi", "warning", evidence, fix="install the driver's utilities, or extend PATH")
        case "absent" | "" | "0":
            pass
        case status:
            number = int(status) if status.isdecimal() and len(status) < 4 else -1
            meaning = STATUSES.get(number, "unknown status")
            state: Health = "warning" if number == 14 and gpus else "failure"
            yield Finding("gpu.smi", state, f"nvidia-smi ended with status {status}, {meaning}{words}", fix=fix)
    looked = told.word(0) not in ("stuck", "busy", "124", "")
    if looked and len(gpus) < len(known):
        missing = sorted(set(known) - {gpu.uuid for gpu in gpus})
        evidence = f"{len(gpus)} of {len(known)} GPUs are there; missing: {', '.join(missing)}"
        yield Finding("gpu.count", "failure", evidence, fix=fix)


def gpu_findings(gpu: Gpu, limits: Limits = LIMITS) -> Iterator[Finding]:
    """One GPU against the rules."""

    def found(id_: str, state: Health, evidence: str, fix: str) -> Finding:
        return Finding(id_, state, f"GPU {gpu.index} ({gpu.name}): {evidence}", gpu=gpu.index, fix=fix)

    reset = "stop what runs on it and reset the GPU, or reboot the host"
    if gpu.lost:
        yield found("gpu.lost", "failure", f"it does not answer ({gpu.lost})", "reboot the host")
    if gpu.ecc_uncorrected:
        evidence = f"{gpu.ecc_uncorrected} uncorrectable memory errors since boot"
        yield found("gpu.ecc", "failure", evidence, reset)
    if gpu.remap_failed:
        yield found("gpu.remap", "failure", "bad memory rows could not be remapped", "the card has to be replaced")
    if gpu.remap_pending:
        yield found("gpu.remap", "warning", "bad memory rows wait to be taken out of use", reset)
    if gpu.slowdowns >= limits.slowdowns:
        reasons = ", ".join(gpu.throttle)
        evidence = f"slowed down by the hardware in the last {gpu.slowdowns} looks ({reasons})"
        yield found("gpu.throttle", "warning", evidence, "look at cooling and power supply")
    if gpu.temperature is not None and gpu.temperature >= limits.temperature:
        yield found("gpu.temperature", "warning", f"{gpu.temperature:.0f} degrees Celsius", "look at cooling")


def host_findings(host: Host, limits: Limits = LIMITS) -> Iterator[Finding]:
    """Disk, inodes, memory and folders against the rules."""
    if host.disk is not None:
        yield from _disk_findings(host.disk, limits)
    if host.memory is not None:
        yield from _memory_findings(host.memory, limits)
    if host.place == "unwritable":
        yield Finding("host.place", "failure", "deploy_dir cannot be written", fix="give it to the login user")
    if host.dangling:
        evidence = "`current` points to a release that is not there"
        yield Finding("host.release", "warning", evidence, fix="deploy again, or roll back")


def clock_findings(offset: float | None, uncertainty: float, limits: Limits = LIMITS) -> Iterator[Finding]:
    """The host's clock against ours. It only warns: nothing is decided by comparing clocks."""
    if offset is not None and abs(offset) - uncertainty > limits.clock:
        side = "ahead of" if offset > 0 else "behind"
        yield Finding("host.clock", "warning", f"its clock is {abs(offset):.0f} s {side} ours", fix="set up NTP there")


def run_findings(run: RunSummary, limits: Limits = LIMITS) -> Iterator[Finding]:
    """A live run: does it still take steps, does its heart beat, does one rank hold up the others."""
    if not run.live:
        return
    if run.heartbeat_age is not None and run.heartbeat_age > limits.heartbeat and run.state == "running":
        evidence = f"no heartbeat for {run.heartbeat_age:.0f} s"
        yield Finding("run.heartbeat", "warning", evidence, run=run.id, fix="look at its log")
    usual = limits.stalled_steps * (run.median_step or 0.0)
    most = max(limits.stalled if run.phase == "train" else limits.stalled_phase, usual)
    if run.state == "running" and run.last_step_age is not None and run.last_step_age > most:
        usually = "" if run.median_step is None else f", usually {run.median_step:.2f} s a step"
        evidence = f"no step for {run.last_step_age:.0f} s in phase {run.phase}{usually}"
        yield Finding("run.stalled", "warning", evidence, run=run.id, fix="look at its log; stop and resume it")
    if run.straggler:
        evidence = f"a rank is slower than the others: {run.straggler}"
        yield Finding("run.straggler", "warning", evidence, run=run.id, fix="look at that rank's GPU")


def _disk_findings(disk: Disk, limits: Limits) -> Iterator[Finding]:
    share = disk.free / disk.total if disk.total else 0.0
    free = f"{disk.free / _GIB:.1f} of {disk.total / _GIB:.1f} GiB free ({share:.0%})"
    fix = "remove old checkpoints and releases: fleet prune"
    if share < limits.empty:
        yield Finding("host.disk", "failure", free, fix=fix)
    elif share < limits.low or disk.free < limits.free_gib * _GIB:
        wanted = f"; {limits.low:.0%} and {limits.free_gib:g} GiB should be"
        yield Finding("host.disk", "warning", free + wanted, fix=fix)
    if disk.inodes and disk.inodes_free is not None and disk.inodes_free / disk.inodes < limits.low:
        share = disk.inodes_free / disk.inodes
        state: Health = "failure" if share < limits.empty else "warning"
        evidence = f"{disk.inodes_free} of {disk.inodes} inodes free ({share:.0%})"
        yield Finding("host.inodes", state, evidence, fix="remove folders of many small files")


def _memory_findings(memory: Memory, limits: Limits) -> Iterator[Finding]:
    share = memory.available / memory.total if memory.total else 0.0
    if share < limits.low:
        state: Health = "failure" if share < limits.empty else "warning"
        evidence = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB of memory available ({share:.0%})"
        yield Finding("host.memory", state, evidence, fix="see what else runs there")
