"""Closed forms of softmax attention: parameters, attended width, cache. Torch-free, so plans need no GPU."""

from __future__ import annotations

from hydra.attention.accounting import MixerParameters
from hydra.attention.backends.softmax.config import SoftmaxConfig

#: Channels of the input that gate a value embedding; `module.py` reads this.
GATE_CHANNELS = 32


def parameters(config: SoftmaxConfig, width: int, vocabulary: int) -> MixerParameters:
    """`D (2 Hq d + 2 Hk d)` in products, `2 d` in QK norms with scales, `V Hk d` in a value embedding's table."""
    inner, kv_inner = config.heads * config.head_width, config.kv_heads * config.head_width
    gate = min(GATE_CHANNELS, width) * config.kv_heads if config.value_embedding else 0
    scaled = config.qk_norm != "none" and config.qk_norm_weight
    return MixerParameters(
        projections=2 * width * (inner + kv_inner) + gate,
        lookups=vocabulary * kv_inner if config.value_embedding else 0,
        norms=2 * config.head_width if scaled else 0,
    )


def attended(config: SoftmaxConfig) -> int:
    """`Hq d`: every (query, key) pair costs `4 Hq d` FLOPs forward, products with keys and with values."""
    return config.heads * config.head_width


def reach(config: SoftmaxConfig) -> int | None:
    """Tokens a query sees at most, None for the whole sequence."""
    return config.window


def state_bytes(config: SoftmaxConfig, max_length: int, element_bytes: int) -> int:
    """Bytes of one row's KV cache: two times `Hk d` per slot, position and document of the slot, and two counters.

    `element_bytes` is the size of the compute type; there is one slot more than `max_length`.
    """
    slot = 2 * config.kv_heads * config.head_width * element_bytes + 2 * 4
    return (max_length + 1) * slot + 2 * 4
