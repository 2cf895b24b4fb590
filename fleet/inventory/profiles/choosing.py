"""Which devices of a host a run uses, and which profile is theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fleet.errors import Usage
from fleet.inventory.profiles.table import PROFILES, Profile, matching
from fleet.inventory.values import Scalar

#: First compute capability whose matrix units take bf16.
_BF16_FROM = (8, 0)


@dataclass(frozen=True, slots=True)
class Device:
    """A usable GPU as the host reports it."""

    index: int
    name: str
    """The whole product name, as nvidia-smi reports it."""
    uuid: str | None = None
    capability: tuple[int, int] | None = None
    """CUDA compute capability; None where it was not asked."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a run on a host is given."""

    profile: Profile
    devices: tuple[Device, ...]
    nproc: int
    settings: Mapping[str, Scalar]
    """The profile's settings, with those that depend on the host."""
    notices: tuple[str, ...]
    """What the user should know: no profile matched, or another one than the product's was asked for."""


def choose(
    devices: Sequence[Device],
    *,
    gpu: str = "auto",
    gpus: tuple[int, ...] | Literal["all"] = "all",
    nproc: int | None = None,
    cores: int | None = None,
) -> Choice:
    """The profile (`gpu`: its name or `auto`) and the devices (`gpus`) of a run on a host with these devices.

    `nproc` is the number of processes, by default one per device; `cores` are the host's CPU cores. Raises Usage for
    devices that do not exist, for different models at once, and for a GPU profile on a host without GPUs.
    """
    if gpu == "cpu" or (gpu == "auto" and not devices and gpus == "all"):
        return _cpu(nproc if nproc is not None else 1, cores)
    chosen = _selected(devices, gpus)
    names = sorted({device.name for device in chosen})
    if not chosen:
        raise _none(gpu)
    if len(names) > 1:
        raise _mixed(devices)
    count = nproc if nproc is not None else len(chosen)
    if not 1 <= count <= len(chosen):
        raise _processes(count, f"{len(chosen)} GPUs")
    found = matching(names[0])
    profile = PROFILES[gpu] if gpu != "auto" else found or PROFILES["generic"]
    settings = _settings(profile, chosen)
    return Choice(profile, chosen[:count], count, settings, tuple(_notices(gpu, names[0], found)))


def _cpu(nproc: int, cores: int | None) -> Choice:
    if nproc < 1:
        raise _processes(nproc, "a CPU")
    profile = PROFILES["cpu"]
    threads = {"training.threads": max(1, cores // nproc)} if cores is not None else {}
    return Choice(profile, (), nproc, {**profile.settings, **threads}, ())


def _selected(devices: Sequence[Device], gpus: tuple[int, ...] | Literal["all"]) -> tuple[Device, ...]:
    if gpus == "all":
        return tuple(devices)
    by_index = {device.index: device for device in devices}
    absent = [index for index in gpus if index not in by_index]
    if absent:
        raise Usage(
            f"there is no usable GPU {', '.join(map(str, absent))}; the host has {_listed(devices) or 'none'}",
            why="a run is given exactly the devices that were named",
            fix="name devices that the host reports",
            example="fleet gpuinfo lab-a",
        )
    return tuple(by_index[index] for index in dict.fromkeys(gpus))


def _settings(profile: Profile, devices: Sequence[Device]) -> Mapping[str, Scalar]:
    """A device without a profile computes in bf16 if it can; the manifest has no fp16, so it is fp32 otherwise.

    Where the capability was not asked, the trainer decides, which sees the device.
    """
    if profile.name != "generic" or any(device.capability is None for device in devices):
        return profile.settings
    capable = all((device.capability or (0, 0)) >= _BF16_FROM for device in devices)
    return {**profile.settings, "precision.compute": "bf16" if capable else "fp32"}


def _notices(gpu: str, product: str, found: Profile | None) -> list[str]:
    if gpu == "auto" and found is None:
        return [f'no profile matches "{product}"; the settings are cautious, and MFU cannot be given']
    if gpu not in ("auto", "generic") and (found is None or found.name != gpu):
        other = f"profile {found.name}" if found is not None else "no profile"
        return [f'fleet.json says gpu "{gpu}", and the host reports "{product}" ({other})']
    return []


def _none(gpu: str) -> Usage:
    return Usage(
        f'the profile "{gpu}" needs a GPU, and the host reports none',
        why="a run on another device than the one meant would take days to notice",
        fix="look at the host's driver, or let the profile be found",
        example='"gpu": "auto"',
    )


def _processes(count: int, on: str) -> Usage:
    return Usage(
        f"{count} processes on {on}",
        why="a run has at least one process, and each has a GPU of its own",
        fix="ask for as many processes as there are devices, or leave the number out",
        example="fleet train lab-a --gpus 0,1 --nproc 2",
    )


def _mixed(devices: Sequence[Device]) -> Usage:
    return Usage(
        f"the host has different GPUs: {_listed(devices)}",
        why="ranks on unlike devices wait for the slowest, and one profile cannot suit them all",
        fix="name the devices of one kind with --gpus, or in fleet.json",
        example="fleet train lab-a --gpus 0,1",
    )


def _listed(devices: Sequence[Device]) -> str:
    return ", ".join(f"{device.index} ({device.name})" for device in devices)
