"""What a host is made of: cards, processor, memory, disk, kernel. For people, for `--save`, to choose settings by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fleet.agent import refused_commands
from fleet.errors import RemoteFailed
from fleet.health.cards import Card, read_cards
from fleet.health.host import Disk, Memory, read_host
from fleet.health.rules import smi_findings
from fleet.health.scripts import SMI_SECONDS, probe_script
from fleet.health.sections import HEADER, Answer, last_words, parse
from fleet.health.values import count, printable
from fleet.ssh import Deadline, Result, Transport

_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor of a host."""

    model: str | None
    architecture: str | None
    sockets: int | None
    threads: int | None
    """Logical processors."""
    numa_nodes: int | None

    def to_json(self) -> dict[str, Any]:
        """The processor for programs."""
        parts = {"model": self.model, "architecture": self.architecture, "sockets": self.sockets}
        return {**parts, "threads": self.threads, "numa_nodes": self.numa_nodes}


@dataclass(frozen=True, slots=True)
class GpuInventory:
    """The inventory of one host."""

    name: str
    machine: str | None
    driver: str | None
    cuda: str | None
    """The newest CUDA version that the driver supports."""
    gpus: tuple[Card, ...]
    problem: str
    """Why the cards could not be listed; empty if they could, or if there are none."""
    kernel: str | None
    system: str | None
    processor: Processor
    memory: Memory | None
    disk: Disk | None
    raw: Mapping[str, str] = field(default_factory=dict)
    """The tools' own texts by file name, if everything was asked for."""

    def to_json(self) -> dict[str, Any]:
        """The inventory for programs; raw texts are not part of it."""
        return {
            "name": self.name,
            "machine": self.machine,
            "driver": self.driver,
            "cuda": self.cuda,
            "gpus": [card.to_json() for card in self.gpus],
            "problem": self.problem or None,
            "kernel": self.kernel,
            "system": self.system,
            "processor": self.processor.to_json(),
            "memory": None if self.memory is None else self.memory.to_json(),
            "disk": None if self.disk is None else self.disk.to_json(),
        }

    def rows(self) -> tuple[tuple[str, str], ...]:
        """The inventory for people: what and how much."""
        return tuple((what, value) for what, value in self._rows() if value)

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield "kernel", self.kernel or ""
        yield "system", self.system or ""
        yield "processor", f"{self.processor.model or 'unknown'}, {self.processor.threads or '?'} threads"
        if self.memory is not None:
            yield "memory", f"{self.memory.total / _GIB:.1f} GiB"
        if self.disk is not None:
            yield "disk", f"{self.disk.free / _GIB:.1f} of {self.disk.total / _GIB:.1f} GiB free, {self.disk.kind}"
        yield "driver", f"{self.driver}, CUDA up to {self.cuda}" if self.driver else ""
        yield "problem", self.problem
        for card in self.gpus:
            yield f"GPU {card.index}", _line(card)
        if not self.gpus and not self.problem:
            yield "GPU", "none"


def gpu_inventory(
    transport: Transport,
    deploy_dir: str,
    *,
    deadline: Deadline,
    full: bool = False,
    smi_seconds: int = SMI_SECONDS,
) -> GpuInventory:
    """Ask a host what it is made of, with one exec. It works without GPUs, and says so when their driver is silent.

    Raises what the transport raises, and RemoteFailed if the answer broke off.
    """
    result = transport.exec(
        probe_script("probe-inventory.sh", deploy_dir, smi_seconds, "yes" if full else "no"), deadline=deadline
    )
    answer = parse(result.out)
    if not answer.complete:
        raise broke_off(transport.name, result)
    driver = cuda = None
    cards: tuple[Card, ...] = ()
    lines, status = answer.find("cards").lines, answer.find("smi").word(0)
    good = status in ("0", "14")
    said = () if good else tuple(printable(line) for line in lines)
    problem = "; ".join(finding.evidence for finding in smi_findings(answer, (), said, ()))
    if good:
        try:
            driver, cuda, cards = read_cards(lines, answer.find("links").lines)
        except ValueError as error:
            problem = str(error)
    host = read_host(answer)
    return GpuInventory(
        name=transport.name,
        machine=host.machine,
        driver=driver,
        cuda=cuda,
        gpus=cards,
        problem=problem,
        kernel=_first(answer.find("kernel").lines),
        system=_first(line.partition("=")[2].strip('"') for line in answer.find("system").lines),
        processor=_processor(answer),
        memory=host.memory,
        disk=host.disk,
        raw=_raw(answer) if full else {},
    )


def broke_off(name: str, result: Result) -> RemoteFailed:
    """The error of a probe that did not say all it had to say, or that was never begun."""
    if HEADER not in result.out.split(b"\n"):
        return refused_commands(name, result)
    said = printable(last_words(result.out, result.err))
    return RemoteFailed(
        f"the probe on {name} broke off with status {result.rc}: {said or 'it said nothing'}",
        why="it needs a POSIX shell and the usual small programs",
        fix="see whether these work there",
        example=f"fleet run {name} -- sh -c 'date; stat -f /; uname -a'",
        host=name,
    )


def _processor(answer: Answer) -> Processor:
    facts: dict[str, str] = {}
    for line in answer.find("processor").lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip().lower(), printable(value.strip()))
    return Processor(
        model=facts.get("model name") or None,
        architecture=facts.get("architecture") or None,
        sockets=count(facts.get("socket(s)", "")),
        threads=count(facts.get("cpu(s)", "")),
        numa_nodes=count(facts.get("numa node(s)", "")),
    )


def _raw(answer: Answer) -> dict[str, str]:
    named = {"nvidia-smi.xml": "cards", "nvlink.txt": "links", "topology.txt": "topology", "lscpu.txt": "processor"}
    texts = {file: answer.find(section).lines for file, section in named.items()}
    return {file: "\n".join(lines) + "\n" for file, lines in texts.items() if lines}


def _line(card: Card) -> str:
    memory = "" if card.memory_bytes is None else f"{card.memory_bytes / _GIB:.0f} GiB"
    power = "" if card.power_limit_w is None else f"{card.power_limit_w:.0f} W"
    capped = f" of {card.power_default_w:.0f} W" if _less(card.power_limit_w, card.power_default_w) else ""
    clock = "" if card.sm_clock_max_mhz is None else f"{card.sm_clock_max_mhz:.0f} MHz"
    pcie = "" if card.pcie_generation is None else f"PCIe {card.pcie_generation} x{(card.pcie_width or '').rstrip('x')}"
    nvlink = (
        "" if card.nvlink is None else f"NVLink {card.nvlink.active}/{card.nvlink.count}, {card.nvlink.gb_s:.0f} GB/s"
    )
    ecc = "" if card.ecc_mode is None else f"ECC {card.ecc_mode.lower()}"
    mig = "MIG on" if card.mig_mode == "Enabled" else ""
    parts = (card.name, memory, f"{power}{capped}", clock, pcie, nvlink, ecc, mig, card.uuid)
    return ", ".join(part for part in parts if part)


def _less(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one < other


def _first(lines: Iterable[str]) -> str | None:
    return next((printable(line) for line in lines if line), None)
