"""The GPUs of a host in full, from the XML of `nvidia-smi -q -x`, whose tags differ between driver branches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from fleet.health.values import decimal, printable

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MIB: Final = 1 << 20
_ABSENT: Final = frozenset({"", "N/A", "[N/A]", "None"})


@dataclass(frozen=True, slots=True)
class Links:
    """NVLink of a card."""

    count: int
    active: int
    gb_s: float
    """Of all active links together, one direction."""


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU as it was built and set up. What the driver does not tell is None."""

    index: int
    uuid: str
    name: str
    bus: str | None = None
    architecture: str | None = None
    vbios: str | None = None
    memory_bytes: int | None = None
    compute_mode: str | None = None
    persistence_mode: str | None = None
    mig_mode: str | None = None
    ecc_mode: str | None = None
    ecc_uncorrected: int | None = None
    """Since the driver was loaded."""
    ecc_uncorrected_ever: int | None = None
    remapped_rows: int | None = None
    remap_pending: str | None = None
    recovery_action: str | None = None
    """What the driver itself asks for: `None` on a healthy card, `Reset`, `Reboot`, ..."""
    power_w: float | None = None
    power_limit_w: float | None = None
    power_default_w: float | None = None
    power_min_w: float | None = None
    power_max_w: float | None = None
    sm_clock_mhz: float | None = None
    sm_clock_max_mhz: float | None = None
    memory_clock_mhz: float | None = None
    memory_clock_max_mhz: float | None = None
    pcie_generation: int | None = None
    pcie_generation_max: int | None = None
    pcie_width: str | None = None
    pcie_width_max: str | None = None
    nvlink: Links | None = None

    def to_json(self) -> dict[str, Any]:
        """The card for programs."""
        return asdict(self)


def read_cards(lines: Iterable[str], links: Iterable[str]) -> tuple[str | None, str | None, tuple[Card, ...]]:
    """Driver version, CUDA version and the cards. Raises ValueError, saying where, for what is not XML."""
    from xml.etree.ElementTree import ParseError, fromstring

    try:
        root = fromstring("\n".join(lines))
    except ParseError as error:
        raise ValueError(f"the answer of nvidia-smi -q -x is not XML: {error}") from error
    linked = _links(links)
    cards = tuple(_card(index, gpu, linked) for index, gpu in enumerate(root.iter("gpu")))
    return _text(root, "driver_version"), _text(root, "cuda_version"), cards


def _card(index: int, gpu: Element, links: Mapping[str, Links]) -> Card:
    uuid = _text(gpu, "uuid") or ""
    memory = _number(gpu, "fb_memory_usage/total")
    return Card(
        index=index,
        uuid=uuid,
        name=_text(gpu, "product_name") or "",
        bus=printable(gpu.get("id", "")) or None,
        architecture=_text(gpu, "product_architecture"),
        vbios=_text(gpu, "vbios_version"),
        memory_bytes=None if memory is None else int(memory * _MIB),
        compute_mode=_text(gpu, "compute_mode"),
        persistence_mode=_text(gpu, "persistence_mode"),
        mig_mode=_text(gpu, "mig_mode/current_mig"),
        ecc_mode=_text(gpu, "ecc_mode/current_ecc"),
        ecc_uncorrected=_uncorrected(gpu, "ecc_errors/volatile"),
        ecc_uncorrected_ever=_uncorrected(gpu, "ecc_errors/aggregate"),
        remapped_rows=_sum(gpu, ("remapped_rows/remapped_row_corr", "remapped_rows/remapped_row_unc")),
        remap_pending=_text(gpu, "remapped_rows/remapped_row_pending"),
        recovery_action=_text(gpu, "gpu_recovery_action", none=True),
        power_w=_power(gpu, "power_draw", "instant_power_draw", "average_power_draw"),
        power_limit_w=_power(gpu, "current_power_limit", "power_limit", "enforced_power_limit"),
        power_default_w=_power(gpu, "default_power_limit"),
        power_min_w=_power(gpu, "min_power_limit"),
        power_max_w=_power(gpu, "max_power_limit"),
        sm_clock_mhz=_number(gpu, "clocks/sm_clock"),
        sm_clock_max_mhz=_number(gpu, "max_clocks/sm_clock"),
        memory_clock_mhz=_number(gpu, "clocks/mem_clock"),
        memory_clock_max_mhz=_number(gpu, "max_clocks/mem_clock"),
        pcie_generation=_sum(gpu, ("pci/pci_gpu_link_info/pcie_gen/current_link_gen",)),
        pcie_generation_max=_sum(gpu, ("pci/pci_gpu_link_info/pcie_gen/max_link_gen",)),
        pcie_width=_text(gpu, "pci/pci_gpu_link_info/link_widths/current_link_width"),
        pcie_width_max=_text(gpu, "pci/pci_gpu_link_info/link_widths/max_link_width"),
        nvlink=links.get(uuid),
    )


def _links(lines: Iterable[str]) -> dict[str, Links]:
    """From `nvidia-smi nvlink -s`: a line for each GPU, then a line for each of its links."""
    rates: dict[str, list[float | None]] = {}
    uuid = ""
    for line in lines:
        if head := re.search(r"\(UUID: (GPU-[0-9a-fA-F-]+)\)", line):
            uuid = head[1]
        elif link := re.match(r"\s*Link [0-9]+: (?:([0-9.]+) GB/s)?", line):
            rates.setdefault(uuid, []).append(decimal(link[1] or ""))
    return {
        uuid: Links(len(found), sum(rate is not None for rate in found), round(sum(rate or 0.0 for rate in found), 3))
        for uuid, found in rates.items()
    }


def _text(element: Element, path: str, *, none: bool = False) -> str | None:
    """A text, or None where the driver has nothing to say; with `none`, the word None is something to say."""
    text = (element.findtext(path) or "").strip()
    return printable(text) if text not in _ABSENT or (none and text == "None") else None


def _number(element: Element, path: str) -> float | None:
    """A number without its unit."""
    return decimal((element.findtext(path) or "").strip().partition(" ")[0])


def _sum(element: Element, paths: Iterable[str]) -> int | None:
    numbers = [number for path in paths if (number := _number(element, path)) is not None]
    return int(sum(numbers)) if numbers else None


def _uncorrected(gpu: Element, path: str) -> int | None:
    """Errors that were not corrected; cards before Ampere call them double-bit."""
    errors = gpu.find(path)
    if errors is None:
        return None
    paths = [child.tag for child in errors if "uncorrectable" in child.tag]
    return _sum(errors, paths or ["double_bit/total"])


def _power(gpu: Element, *names: str) -> float | None:
    """The first of these readings; the group was renamed in driver 535."""
    paths = (f"{group}/{name}" for group in ("gpu_power_readings", "power_readings") for name in names)
    return next((number for path in paths if (number := _number(gpu, path)) is not None), None)
