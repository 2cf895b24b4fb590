"""Model presets by size: shapes from 1M to 8B parameters, as the trees a manifest would write out.

A name is an honest count: the preset with its nominal vocabulary has that many parameters within 5 %. Used as
`model: {preset: 124m}`; keys written beside it change the preset.
"""

from __future__ import annotations

from typing import Any


def _stack(count: int, mixer: dict[str, Any], mlp: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"repeat": {"count": count, "of": [{"mixer": {"kind": "softmax", **mixer}, "mlp": mlp}]}}]


def _llama(
    layers: int, width: int, heads: int, kv_heads: int, hidden: int, *, tied: bool, base: float = 10000.0
) -> dict[str, Any]:
    """The shape of Llama (arXiv:2407.21783): RMS norm, rotary positions, grouped heads, SwiGLU."""
    mixer = {"heads": heads, "kv_heads": kv_heads, "rope": {"base": base}}
    return {
        "width": width,
        "blocks": _stack(layers, mixer, {"kind": "swiglu", "hidden": hidden}),
        "head": {"tied": tied},
    }


def _nanochat(depth: int) -> dict[str, Any]:
    """The shape of nanochat's depth series: width 64 per layer, heads of 128, squared ReLU, bare norms.

    Every second block, the last one among them, adds value embeddings, which hold about half of all parameters and
    cost no product.
    """
    width = 64 * depth
    mixer = {
        "kind": "softmax",
        "heads": width // 128,
        "kv_heads": width // 128,
        "head_width": 128,
        "qk_norm": "after_rope",
        "qk_norm_weight": False,
    }
    mlp = {"kind": "relu_squared", "hidden": 4 * width}
    pair = [{"mixer": mixer, "mlp": mlp}, {"mixer": {**mixer, "value_embedding": True}, "mlp": mlp}]
    return {
        "width": width,
        "blocks": [{"repeat": {"count": depth // 2, "of": pair}}],
        "norm": {"kind": "rms_norm", "weight": False},
        "embedding_norm": True,
        "head": {"tied": False, "softcap": 15.0},
    }


#: Vocabulary each preset's name was counted with.
NOMINAL_VOCABULARY: dict[str, int] = {
    "1m": 384,
    "4m": 2048,
    "10m": 4096,
    "30m": 8192,
    "124m": 50304,
    "350m": 50304,
    "d20": 32768,
    "1.5b": 128256,
    "3b": 128256,
    "8b": 128256,
}

#: Name -> model tree.
PRESETS: dict[str, dict[str, Any]] = {
    "1m": _llama(4, 128, 4, 4, 448, tied=True),
    "4m": _llama(4, 256, 4, 4, 768, tied=True),
    "10m": _llama(7, 320, 5, 5, 896, tied=True),
    "30m": _llama(8, 512, 8, 8, 1408, tied=True),
    "124m": _llama(12, 768, 12, 12, 2048, tied=True),
    "350m": _llama(24, 1024, 16, 16, 2752, tied=True),
    "d20": _nanochat(20),  # 897M, of which 435M in products
    "1.5b": _llama(16, 2048, 32, 8, 8192, tied=False, base=500000.0),
    "3b": _llama(28, 3072, 24, 8, 8192, tied=True, base=500000.0),
    "8b": _llama(32, 4096, 32, 8, 14336, tied=False, base=500000.0),  # Llama-3-8B
}
