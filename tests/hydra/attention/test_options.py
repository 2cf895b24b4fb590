"""Every option of softmax attention changes what it computes."""

from __future__ import annotations

import pytest
import torch

OPTIONS = {
    "kv_heads": ({"heads": 4, "kv_heads": 4}, {"heads": 4, "kv_heads": 2}),
    "head_width": ({}, {"head_width": 16}),
    "no rope": ({}, {"rope": None}),
    "rope base": ({}, {"rope": {"base": 100.0}}),
    "rope layout": ({}, {"rope": {"layout": "interleaved"}}),
    "qk norm": ({}, {"qk_norm": "after_rope"}),
    "qk norm's place": ({"qk_norm": "before_rope"}, {"qk_norm": "after_rope"}),
    "qk norm's scales": ({"qk_norm": "after_rope"}, {"qk_norm": "after_rope", "qk_norm_weight": False}),
    "window": ({}, {"window": 3}),
    "value embedding": ({}, {"value_embedding": True}),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_it_has_an_effect(mixer, meta, normal, option: str) -> None:
    without, having = (mixer(**values) for values in OPTIONS[option])
    x, batch = normal(2, 33, 48), meta(2, 33, True)
    assert not torch.allclose(without(x, batch), having(x, batch), atol=1e-3)
