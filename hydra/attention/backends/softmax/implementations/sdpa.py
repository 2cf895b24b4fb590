"""torch's scaled dot product attention with one named backend: cuDNN, FlashAttention-2, efficient, or the CPU one."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.backends import cuda
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from hydra.attention.backends.softmax.implementations.core import Derivations
from hydra.attention.backends.softmax.reference import visible
from hydra.attention.meta import SeqMeta

#: torch's own predicates: whether a backend takes a problem on this device.
_PREDICATES: dict[str, tuple[SDPBackend, Callable[[cuda.SDPAParams, bool], bool]]] = {
    "cudnn": (SDPBackend.CUDNN_ATTENTION, cuda.can_use_cudnn_attention),
    "flash": (SDPBackend.FLASH_ATTENTION, cuda.can_use_flash_attention),
    "efficient": (SDPBackend.EFFICIENT_ATTENTION, cuda.can_use_efficient_attention),
}


@dataclass(frozen=True)
class CausalSdpa:
    """Plain causal attention on CUDA through one backend of SDPA, without any mask tensor.

    `expand` repeats keys and values per query head, for backends that do not group heads themselves; it is decided
    when the model is built.
    """

    backend: SDPBackend
    scale: float
    expand: bool

    def derivations(self) -> Derivations:
        """None: the causal mask is part of the kernel."""
        return {}

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, meta: SeqMeta) -> Tensor:
        """Attend; refuses batches with several documents per row, which this kernel cannot tell apart."""
        if meta.masked:
            raise ValueError(
                "this model was built for rows of one document (masked=False), and the batch has document masks"
            )
        groups = q.shape[2] // k.shape[2]
        if self.expand and groups > 1:
            k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
        with sdpa_kernel(self.backend):
            y = functional.scaled_dot_product_attention(
                q.transpose(1, 2),
                k.transpose(1, 2),
                v.transpose(1, 2),
                is_causal=True,
                scale=self.scale,
                enable_gqa=groups > 1 and not self.expand,
            )
        return y.transpose(1, 2)


@dataclass(frozen=True)
class CpuSdpa:
    """SDPA on the CPU: causal without a mask, or with one dense mask per batch where documents or windows need it."""

    scale: float
    window: int | None

    @property
    def _key(self) -> str:
        return f"shown/window={self.window}"

    def _mask(self, meta: SeqMeta) -> Tensor | None:
        if not meta.masked:
            return None if self.window is None else visible(meta, self.window).unsqueeze(1)
        own = torch.eye(meta.positions.shape[1], dtype=torch.bool, device=meta.positions.device)
        return (visible(meta, self.window) | own).unsqueeze(1)

    def derivations(self) -> Derivations:
        """The dense mask [B, 1, T, T], or None where causality is all there is."""
        return {self._key: self._mask}

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, meta: SeqMeta) -> Tensor:
        """Attend. Padding queries look at themselves and are zeroed, so no softmax is over nothing."""
        shown: Tensor | None = meta.get(self._key, self._mask)
        y = functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=shown,
            is_causal=shown is None,
            scale=self.scale,
            enable_gqa=q.shape[2] != k.shape[2],
        ).transpose(1, 2)
        return torch.where((meta.documents >= 0)[:, :, None, None], y, 0) if meta.masked else y


def probe(name: str, heads: int, kv_heads: int, head_width: int, dtype: torch.dtype) -> tuple[bool | None, str]:
    """Whether an SDPA backend takes this shape on the current CUDA device, asked of torch itself.

    Returns (expand, "") with `expand` telling whether keys must be repeated per query head, or (None, reason).
    """
    backend, predicate = _PREDICATES[name]
    reasons: list[str] = []
    for expand in (False, True) if heads != kv_heads else (False,):
        q = torch.empty(1, heads, 256, head_width, dtype=dtype, device="cuda", requires_grad=True)
        k = torch.empty(1, heads if expand else kv_heads, 256, head_width, dtype=dtype, device="cuda")
        grouped = heads != k.shape[1]
        with contextlib.ExitStack() as stack:
            stack.enter_context(sdpa_kernel(backend))
            told = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            if predicate(cuda.SDPAParams(q, k, k, None, 0.0, True, grouped), True):
                return expand, ""
            reasons = [str(warning.message).split(" (Triggered")[0] for warning in told]
    return None, "torch refuses this shape" + (f": {' '.join(reasons)}" if reasons else "")


def causal(name: str, scale: float, expand: bool) -> CausalSdpa:
    """The implementation behind one backend name."""
    return CausalSdpa(_PREDICATES[name][0], scale, expand)
