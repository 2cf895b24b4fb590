"""How fast a step was: tokens per second and model FLOP utilisation, by the definitions of the field list."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hydra.model import accounting


@dataclass(frozen=True)
class Throughput:
    """Turns tokens and time into rates.

    MFU is the model's FLOPs per trained token times tokens per second over the devices' dense bf16 peak; recomputation
    is never counted. Two conventions: attention over all pairs (`full`) and over the causal half.
    """

    flops: accounting.Flops
    peak: float | None
    """Peak FLOP/s of one device, None where the product is not known (and then no MFU is reported)."""
    devices: int

    def rates(self, tokens: float, milliseconds: float) -> dict[str, float]:
        """The rate fields of a metrics row for so many input tokens in so many milliseconds."""
        per_second = tokens / max(milliseconds, 1e-6) * 1e3
        rates = {"tokens_per_s": per_second, "tokens_per_s_gpu": per_second / self.devices}
        if self.peak is not None:
            rates["mfu_full"] = per_second * self.flops.full / (self.peak * self.devices)
            rates["mfu_causal"] = per_second * self.flops.causal / (self.peak * self.devices)
        return rates


def memory(device: torch.device) -> dict[str, int]:
    """Peak bytes on a GPU since the last call; nothing on the CPU, whose allocator keeps no count."""
    if device.type != "cuda":
        return {}
    found = {
        "memory_bytes": torch.cuda.max_memory_allocated(device),
        "memory_reserved_bytes": torch.cuda.max_memory_reserved(device),
    }
    torch.cuda.reset_peak_memory_stats(device)
    return found
