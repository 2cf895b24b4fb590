"""Turning every `auto` of a manifest into a decision about this machine, once, before anything is built."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import torch

from hydra.errors import UsageError
from hydra.manifest import Manifest
from hydra.platform import capabilities
from hydra.training.identity import Identity


@dataclass(frozen=True)
class Resolved:
    """The decisions; stored with the run, and taken over by a resume on the same kind of device."""

    device: Literal["cpu", "cuda"]
    determinism: Literal["exact", "fast"]
    compute: Literal["fp32", "bf16"]
    compile: Literal["blocks", "none"]
    threads: int

    @property
    def exact(self) -> bool:
        """Whether a resume must equal the unbroken run in every bit."""
        return self.determinism == "exact"

    @property
    def dtype(self) -> torch.dtype:
        """Type of activations and matrix products."""
        return torch.bfloat16 if self.compute == "bf16" else torch.float32

    def torch_device(self, identity: Identity) -> torch.device:
        """The device of one rank."""
        return torch.device("cuda", identity.local_rank) if self.device == "cuda" else torch.device("cpu")

    def record(self) -> dict[str, Any]:
        """As stored in the run's manifest."""
        return asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any]) -> Self:
        """From what `record` stored."""
        return cls(**record)


def resolve(manifest: Manifest, identity: Identity) -> Resolved:
    """Decide device, exactness, number format, compilation and threads. Raises UsageError for an absent GPU."""
    training = manifest.training
    found: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    device = found if training.device == "auto" else training.device
    if device == "cuda" and identity.local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"training.device is cuda, rank {identity.local_rank} of this host needs GPU {identity.local_rank}, and "
            f"torch {torch.__version__} sees {torch.cuda.device_count()}",
            why="training elsewhere than asked would be slower without a word",
            fix="check 'nvidia-smi' and that torch is a CUDA build, launch fewer processes, or train on the CPU",
            example="python trainer.py --set training.device=cpu",
        )
    on_gpu = device == "cuda"
    # Not torch's own count: launchers of several ranks set that to 1.
    automatic = max(1, capabilities("cpu").cores // identity.local_size)
    return Resolved(
        device=device,
        determinism=("fast" if on_gpu else "exact") if training.determinism == "auto" else training.determinism,
        compute=("bf16" if on_gpu else "fp32") if manifest.precision.compute == "auto" else manifest.precision.compute,
        compile=("blocks" if on_gpu else "none") if training.compile == "auto" else training.compile,
        threads=automatic if training.threads == "auto" else training.threads,
    )


def apply(resolved: Resolved, manifest: Manifest, identity: Identity) -> torch.device:
    """Set torch's global switches accordingly and return this rank's device."""
    torch.set_num_threads(resolved.threads)
    precision: Literal["high", "highest"] = "high" if manifest.precision.tf32 else "highest"
    torch.set_float32_matmul_precision(precision)
    device = resolved.torch_device(identity)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if resolved.exact:
        # cuBLAS reads its workspace setting from the environment and nowhere else; without a fixed workspace its sums
        # depend on the stream. Set before the first product, so it holds for this process alone.
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
    return device
