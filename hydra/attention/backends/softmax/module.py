"""Softmax attention as a mixer: project, norm, rotate, attend, project back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hydra.attention.backends.softmax.accounting import GATE_CHANNELS
from hydra.attention.backends.softmax.cache import SoftmaxState, append, attend
from hydra.attention.backends.softmax.cases import cache_case, core_case
from hydra.attention.backends.softmax.config import SoftmaxConfig
from hydra.attention.backends.softmax.implementations import choose
from hydra.attention.contract import AttentionBackend, MixerSpec
from hydra.attention.meta import SeqMeta
from hydra.kernels import Choice, count
from hydra.kernels.cases import Case
from hydra.kernels.rms_norm import rms_norm
from hydra.kernels.rope import angles, rope
from hydra.kernels.uses import Use
from hydra.layers.embedding import Embedding
from hydra.layers.initial import Constant, Distribution
from hydra.layers.linear import Linear

_EPSILON = 1e-6
#: Decoding has one implementation: torch's masked SDPA over the cache.
_CACHED = Choice("attention_cached", "sdpa", "masked attention over the KV cache", {})


class SoftmaxAttention(AttentionBackend):
    """Multi-head attention (arXiv:1706.03762) with grouped key/value heads (arXiv:2305.13245).

    `y = softmax(q k^T / sqrt(d)) v W_o` over the visible keys: same document, not later, within the window. Queries
    and keys may be normalised per head and are rotated by position; values may get a learned embedding of the token,
    `v + 2 sigmoid(gate(x[..., :32])) * table[token]`, gated per key/value head (arXiv:2410.17897).
    """

    def __init__(self, spec: MixerSpec) -> None:
        super().__init__()
        config = spec.config
        assert isinstance(config, SoftmaxConfig)
        self.config, self.facts = config, spec.facts
        longer = config.window is not None and config.window >= spec.context
        self.window = None if longer else config.window
        self.choice, self._core = choose(config, self.window, spec.facts, spec.pins)
        self._scale = config.head_width**-0.5
        inner, kv_inner = config.heads * config.head_width, config.kv_heads * config.head_width
        self.query = Linear(spec.width, inner, spec.std)
        self.key = Linear(spec.width, kv_inner, spec.std)
        self.value = Linear(spec.width, kv_inner, spec.std)
        self.output = Linear(inner, spec.width, spec.output_std)
        self.query_norm: nn.Parameter | None = None
        self.key_norm: nn.Parameter | None = None
        if config.qk_norm != "none" and config.qk_norm_weight:
            self.query_norm = nn.Parameter(torch.empty(config.head_width))
            self.key_norm = nn.Parameter(torch.empty(config.head_width))
        self.value_table: Embedding | None = None
        self.value_gate: Linear | None = None
        if config.value_embedding:
            self.value_table = Embedding(spec.vocabulary, kv_inner, spec.std)
            self.value_gate = Linear(min(GATE_CHANNELS, spec.width), config.kv_heads, spec.std)

    def distributions(self) -> dict[str, Distribution]:
        """First values of the QK norm's scales."""
        return {"query_norm": Constant(1.0), "key_norm": Constant(1.0)} if self.query_norm is not None else {}

    def uses(self) -> tuple[Use, ...]:
        """The attention core, and the rotation and norm around it."""
        found = [
            Use(self.choice.op, self.choice.why, self.choice, self._core_case),
            Use("attention_cached", self.choice.why, _CACHED, self._cache_case, directions=("forward",)),
        ]
        if self.config.rope is not None:
            found.append(Use("rope", f"{self.config.rope.layout}, width {self.config.head_width}"))
        if self.config.qk_norm != "none":
            found.append(Use("rms_norm", f"width {self.config.head_width}, queries and keys"))
        return tuple(found)

    def _core_case(self, device: torch.device) -> Case:
        facts = self.facts
        return core_case(self._core, self.config, self.window, facts.masked, facts.compute, device)

    def _cache_case(self, device: torch.device) -> Case:
        return cache_case(self.config, self.window, self.facts.compute, device)

    @property
    def _angle_key(self) -> str:
        assert self.config.rope is not None
        return f"angles/base={self.config.rope.base}/width={self.config.head_width}"

    def _angles(self, meta: SeqMeta) -> tuple[Tensor, Tensor]:
        assert self.config.rope is not None
        return angles(meta.positions, self.config.head_width, self.config.rope.base)

    def derivations(self) -> Mapping[str, Callable[[SeqMeta], Any]]:
        """The rotation tables and what the implementation needs."""
        tables = {} if self.config.rope is None else {self._angle_key: self._angles}
        return {**tables, **self._core.derivations()}

    def forward(self, x: Tensor, meta: SeqMeta) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        q, k, v = self._projected(x, meta)
        count(self.choice.op, self.choice.implementation, "forward")
        y: Tensor = self.output(self._core(q, k, v, meta).flatten(2))
        return y

    def init_state(self, batch: int, max_length: int, device: torch.device, dtype: torch.dtype) -> SoftmaxState:
        """An empty KV cache for rows of at most `max_length` tokens."""
        return SoftmaxState.empty(batch, max_length, self.config.kv_heads, self.config.head_width, device, dtype)

    def prefill(self, x: Tensor, meta: SeqMeta, state: SoftmaxState) -> tuple[Tensor, SoftmaxState]:
        """Continue the cache by T tokens; equal to `forward` on the whole sequence, however it is cut."""
        q, k, v = self._projected(x, meta)
        after = append(state, k, v, meta)
        y: Tensor = self.output(attend(q, state.lens, after, meta, self.window, self._scale).flatten(2))
        return y, after

    def decode(self, x: Tensor, meta: SeqMeta, state: SoftmaxState) -> tuple[Tensor, SoftmaxState]:
        """Continue the cache by one token per row."""
        return self.prefill(x, meta, state)

    def _projected(self, x: Tensor, meta: SeqMeta) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, T, Hq, d], keys and values [B, T, Hk, d], ready for the core."""
        shape = (-1, self.config.head_width)
        q, k, v = (layer(x).unflatten(-1, shape) for layer in (self.query, self.key, self.value))
        if self.config.qk_norm == "before_rope":
            q, k = self._normed(q, k)
        if self.config.rope is not None:
            cos, sin = meta.get(self._angle_key, self._angles)
            q, k = rope(q, k, cos, sin, interleaved=self.config.rope.layout == "interleaved")
        if self.config.qk_norm == "after_rope":
            q, k = self._normed(q, k)
        if self.value_table is not None and self.value_gate is not None:
            gate = 2 * torch.sigmoid(self.value_gate(x[..., :GATE_CHANNELS]))
            v = v + gate.unsqueeze(-1) * self.value_table(meta.tokens, x.dtype).unflatten(-1, shape)
        return q, k, v

    def _normed(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return rms_norm(q, self.query_norm, _EPSILON), rms_norm(k, self.key_norm, _EPSILON)
