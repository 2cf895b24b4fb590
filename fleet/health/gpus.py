"""The GPUs of a host as one call of `nvidia-smi` tells them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fleet.health.sections import Answer, Section
from fleet.health.values import count, decimal, printable

MIB: Final = 1 << 20
#: The one that only drivers since 2022 know, so it stands last in every question and is the first to be left out.
CAPABILITY: Final = "compute_cap"
#: Fields that every driver of the last years knows; asked alone when one of the others is refused.
FEW: Final = (
    *("index", "uuid", "name", "pci.bus_id", "driver_version"),
    *("utilization.gpu", "memory.used", "memory.total", "temperature.gpu", "power.draw", "power.limit"),
)
_USUAL: Final = (
    *FEW,
    *("clocks_throttle_reasons.active", "ecc.errors.uncorrected.volatile.total"),
    *("remapped_rows.pending", "remapped_rows.failure", "retired_pages.pending"),
)
FIELDS: Final = (*_USUAL, CAPABILITY)
_MORE: Final = ("clocks.sm", "clocks.max.sm", "power.default_limit", "compute_mode", "mig.mode.current")
#: What preflight asks beside them.
MORE: Final = (*_USUAL, *_MORE, CAPABILITY)
#: Bits of the throttle reasons, from NVML's nvmlClocksEventReasons.
REASONS: Final = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clocks",
}
HARDWARE: Final = frozenset({"hardware slowdown", "hardware thermal slowdown", "hardware power brake"})


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that computes on a GPU. What cannot be seen from this login is None."""

    pid: int
    memory_bytes: int | None
    user: str | None = None
    command: str | None = None
    run: str | None = None
    """The run that it belongs to: FLEET_RUN_ID of its environment, which only its own user can read."""
    visible: bool = False
    """Whether the pid means a process here; in a container it may be one of the machine around it."""

    def to_json(self) -> dict[str, Any]:
        """The process for programs."""
        shown = {"pid": self.pid, "memory_bytes": self.memory_bytes}
        return {**shown, "user": self.user, "command": self.command, "run": self.run}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment. What the card does not tell is None."""

    index: int
    uuid: str
    name: str
    bus: str = ""
    """PCI address as the driver writes it, by which the kernel log names the card."""
    driver: str = ""
    utilization: float | None = None
    """Percent."""
    memory_used: int | None = None
    """Bytes."""
    memory_total: int | None = None
    """Bytes."""
    temperature: float | None = None
    """Degrees Celsius."""
    power: float | None = None
    """Watts."""
    power_limit: float | None = None
    """Watts."""
    throttle: tuple[str, ...] = ()
    """Why the clocks are lower than they could be."""
    ecc_uncorrected: int | None = None
    """Errors since the driver was loaded."""
    remap_pending: bool = False
    """Whether rows (or pages, on older cards) wait for a reset to be taken out of use."""
    remap_failed: bool = False
    capability: tuple[int, int] | None = None
    """CUDA compute capability, which says what number formats it computes in."""
    slowdowns: int = 0
    """In how many looks in a row the hardware slowed it down, up to this one."""
    lost: str = ""
    """What the tool says in the place of numbers when the card does not answer."""
    processes: tuple[GpuProcess, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)
    """Fields that only preflight asks for, as the tool prints them."""

    @property
    def slowed(self) -> bool:
        """Whether the hardware slows it down now."""
        return bool(HARDWARE & set(self.throttle))

    def to_json(self) -> dict[str, Any]:
        """The GPU for programs; units are in the names."""
        return {
            "index": self.index,
            "uuid": self.uuid,
            "name": self.name,
            "utilization_percent": self.utilization,
            "memory_used_bytes": self.memory_used,
            "memory_total_bytes": self.memory_total,
            "temperature_c": self.temperature,
            "power_w": self.power,
            "power_limit_w": self.power_limit,
            "throttle": list(self.throttle),
            "ecc_uncorrected": self.ecc_uncorrected,
            "remap_pending": self.remap_pending,
            "remap_failed": self.remap_failed,
            "compute_capability": None if self.capability is None else "{}.{}".format(*self.capability),
            "processes": [process.to_json() for process in self.processes],
        }


def read_gpus(answer: Answer, fields: Sequence[str] = FIELDS) -> tuple[Gpu, ...]:
    """The GPUs that an answer tells of, in the tool's order. `fields` are those that were asked for."""
    table = answer.find("gpus")
    asked = _asked(table, fields)
    rows = [dict(zip(asked, cells, strict=True)) for cells in _rows(table, len(asked))]
    apps = _processes(answer)
    return tuple(replace(gpu, processes=tuple(apps.get(gpu.uuid, ()))) for gpu in map(_gpu, rows) if gpu is not None)


def remarks(answer: Answer, fields: Sequence[str] = FIELDS) -> tuple[str, ...]:
    """What the tool said beside its rows: its complaints."""
    table = answer.find("gpus")
    columns = len(_asked(table, fields))
    return tuple(printable(line) for line in table.lines if line.strip() and len(line.split(", ")) != columns)


def _asked(table: Section, fields: Sequence[str]) -> Sequence[str]:
    """The fields of the question that the driver understood."""
    return {"all": fields, "most": fields[:-1]}.get(table.word(0), FEW)


def _rows(table: Section, columns: int) -> list[list[str]]:
    split = ([cell.strip() for cell in line.split(", ")] for line in table.lines)
    return [cells for cells in split if len(cells) == columns]


def _gpu(row: Mapping[str, str]) -> Gpu | None:
    index = count(row["index"])
    if index is None:
        return None
    reasons = count(row.get("clocks_throttle_reasons.active", "")) or 0
    troubles = [text for text in (row["memory.total"], row["utilization.gpu"]) if "lost" in text or "Unknown" in text]
    pending = (row.get("remapped_rows.pending"), row.get("retired_pages.pending"))
    return Gpu(
        index=index,
        uuid=printable(row["uuid"]),
        name=printable(row["name"]),
        bus=printable(row["pci.bus_id"]),
        driver=printable(row["driver_version"]),
        utilization=decimal(row["utilization.gpu"]),
        memory_used=_bytes(row["memory.used"]),
        memory_total=_bytes(row["memory.total"]),
        temperature=decimal(row["temperature.gpu"]),
        power=decimal(row["power.draw"]),
        power_limit=decimal(row["power.limit"]),
        throttle=tuple(name for bit, name in REASONS.items() if reasons & bit),
        ecc_uncorrected=count(row.get("ecc.errors.uncorrected.volatile.total", "")),
        remap_pending="Yes" in pending,
        remap_failed=row.get("remapped_rows.failure") == "Yes",
        capability=_version(row.get(CAPABILITY, "")),
        lost=printable(troubles[0]) if troubles else "",
        more={name: printable(value) for name, value in row.items() if name not in FIELDS},
    )


def _processes(answer: Answer) -> dict[str, list[GpuProcess]]:
    seen = {section.word(0): section.lines for section in answer.named("process")}
    found: dict[str, list[GpuProcess]] = {}
    for uuid, pid, memory in _rows(answer.find("apps"), 3):
        number = count(pid)
        if number is None:
            continue
        facts = dict(line.partition(" ")[::2] for line in seen.get(pid, ()) if " " in line)
        run = next((line.partition("=")[2] for line in seen.get(pid, ()) if line.startswith("FLEET_RUN_ID=")), None)
        found.setdefault(uuid, []).append(
            GpuProcess(
                pid=number,
                memory_bytes=_bytes(memory),
                user=printable(facts["user"]) if "user" in facts else None,
                command=printable(facts["name"]) if "name" in facts else None,
                run=None if run is None else printable(run),
                visible=pid in seen,
            )
        )
    return found


def _version(text: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})", text)
    return None if match is None else (int(match[1]), int(match[2]))


def _bytes(mebibytes: str) -> int | None:
    number = decimal(mebibytes)
    return None if number is None else int(number * MIB)
