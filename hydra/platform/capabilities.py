"""The capability record of a device: everything a choice of kernels may depend on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil
import torch

from hydra.errors import Unsupported
from hydra.platform.peaks import peak_flops


@dataclass(frozen=True)
class Capabilities:
    """What a device is and what it can do; read once, never changed."""

    kind: str  # "cpu" or "cuda"
    device: str  # "cpu", "cuda:0"
    name: str  # product name of the GPU or CPU
    compute_capability: tuple[int, int] | None  # (9, 0) on Hopper; None on the CPU
    memory_bytes: int
    multiprocessors: int | None  # streaming multiprocessors; None on the CPU
    shared_memory_bytes: int | None  # per block; None on the CPU
    dtypes: tuple[str, ...]  # formats whose matrix products run in hardware, or fast enough to train in
    cores: int  # physical CPU cores
    cpp_compiler: str | None  # path of the C++ compiler torch.compile would use on the CPU
    versions: dict[str, str] = field(default_factory=dict)  # python, torch, cuda, cudnn, nccl, triton; absent if none

    @property
    def peak_flops(self) -> float | None:
        """Dense bf16 FLOP/s of this product, None when it is not known."""
        return peak_flops(self.name) if self.kind == "cuda" else None

    @property
    def headline(self) -> str:
        """One line for reports: versions and device."""
        level = "" if self.compute_capability is None else " sm_{}{}".format(*self.compute_capability)
        return f"torch {self.versions['torch']}  {self.device}{level}  {self.name}"


def capabilities(device: str | torch.device) -> Capabilities:
    """The record of a device, detected on first use.

    Raises Unsupported for a device this machine does not have.
    """
    wanted = torch.device(device)
    if wanted.type == "cuda":
        if not torch.cuda.is_available():
            raise Unsupported(
                "CUDA was asked for, and torch finds no CUDA device",
                why=f"torch {torch.__version__} "
                + ("was built without CUDA" if torch.version.cuda is None else "sees no usable GPU or driver"),
                fix="train on the CPU, or install a CUDA build of torch and a driver that fits it",
                example="training: {device: cpu}",
            )
        index = torch.cuda.current_device() if wanted.index is None else wanted.index
        return _cuda(index)
    if wanted.type == "cpu":
        return _cpu()
    raise Unsupported(
        f"device {str(device)!r} is not supported",
        why="Hydra trains on CUDA devices and on the CPU",
        fix="choose one of them",
        example="training: {device: auto}",
    )


@cache
def _cuda(index: int) -> Capabilities:
    properties = torch.cuda.get_device_properties(index)
    level = (properties.major, properties.minor)
    return Capabilities(
        kind="cuda",
        device=f"cuda:{index}",
        name=properties.name,
        compute_capability=level,
        memory_bytes=properties.total_memory,
        multiprocessors=properties.multi_processor_count,
        shared_memory_bytes=properties.shared_memory_per_block,
        dtypes=("fp32", "fp16") + (("bf16",) if level >= (8, 0) else ()) + (("fp8",) if level >= (8, 9) else ()),
        cores=_cores(),
        cpp_compiler=_cpp_compiler(),
        versions=_versions(),
    )


@cache
def _cpu() -> Capabilities:
    return Capabilities(
        kind="cpu",
        device="cpu",
        name=_cpu_name(),
        compute_capability=None,
        memory_bytes=psutil.virtual_memory().total,
        multiprocessors=None,
        shared_memory_bytes=None,
        dtypes=("fp32", "bf16"),
        cores=_cores(),
        cpp_compiler=_cpp_compiler(),
        versions=_versions(),
    )


def _cores() -> int:
    """Physical cores, or fewer where this process may only run on some of them."""
    physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return min(physical, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else physical


def _cpp_compiler() -> str | None:
    return shutil.which("g++") or shutil.which("clang++")


def _cpu_name() -> str:
    """The processor's marketing name; the architecture where the system does not tell it."""
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    if torch.version.cuda is not None:
        found["cuda"] = torch.version.cuda
    if torch.cuda.is_available():
        found["cudnn"] = str(torch.backends.cudnn.version())
        found["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))
    installed = {distribution.metadata["Name"] for distribution in importlib.metadata.distributions(name="triton")}
    if installed:
        found["triton"] = importlib.metadata.version("triton")
    return found
