"""Closed forms equal what is counted: parameters of built modules, executed FLOPs, bytes of caches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from hydra.attention.backends.softmax import accounting as softmax
from hydra.kernels import Facts
from hydra.manifest import from_tree
from hydra.model import accounting, assemble
from hydra.model.framework.presets import NOMINAL_VOCABULARY, PRESETS

META = Facts("cpu", None, None, torch.float32)
SIZES = {
    "1m": 1e6, "4m": 4e6, "10m": 10e6, "30m": 30e6, "124m": 124e6, "350m": 350e6,
    "d20": 897e6, "1.5b": 1.5e9, "3b": 3.2e9, "8b": 8.03e9,
}  # fmt: skip


def preset(name: str, sequence: int = 1024):
    tree = {
        "schema": 1,
        "name": "counted",
        "data": {"corpus": {"kind": "stdlib"}, "sequence": sequence},
        "tokenizer": {"kind": "bytes"},
        "model": {"preset": name},
        "optimizer": {"kind": "adamw", "lr": 1e-3},
        "schedule": {"kind": "constant"},
        "training": {"steps": 1, "batch": 1},
    }
    return from_tree(tree).runs[0].manifest.model


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_as_large_as_its_name(name: str) -> None:
    counted = accounting.parameters(preset(name), NOMINAL_VOCABULARY[name])
    assert abs(counted.total / SIZES[name] - 1) <= 0.05
    built = assemble(preset(name), NOMINAL_VOCABULARY[name], META, {})
    assert sum(parameter.numel() for parameter in built.parameters()) == counted.total


def test_every_preset_has_a_size_and_a_vocabulary() -> None:
    assert list(SIZES) == list(PRESETS) == list(NOMINAL_VOCABULARY)
    assert all(vocabulary % 128 == 0 for vocabulary in NOMINAL_VOCABULARY.values())


def test_llama_3_8b_has_the_published_flops() -> None:
    flops = accounting.flops_per_token(preset("8b", 8192), 128256, 8192)
    assert round(flops.full / 1e9, 1) == 57.9
    assert round(flops.causal / 1e9, 1) == 51.5
    assert abs(flops.windowed - flops.causal) < 0.001 * flops.causal


def test_nanochat_d20_has_the_published_parameters() -> None:
    counted = accounting.parameters(preset("d20"), 32768)
    assert round(counted.total / 1e6) == 897
    assert round(counted.matmul / 1e6) == 435
    assert counted.value_embedding == 10 * 32768 * 1280


@pytest.mark.parametrize("tied", [True, False])
def test_roles_equal_the_modules(model, config, rich, tied) -> None:
    section = config(rich, head={"tied": tied}, embedding_norm=True)
    built = dict(model(section).named_parameters())
    counted = accounting.parameters(section, 64)

    def size(*endings: str) -> int:
        return sum(value.numel() for name, value in built.items() if name.endswith(endings))

    assert counted.embedding == size("embedding.weight")
    assert counted.value_embedding == size("value_table.weight")
    assert counted.head == size("head.weight")
    assert counted.norms == sum(value.numel() for name, value in built.items() if "norm" in name)
    assert counted.total == sum(value.numel() for value in built.values())
    assert counted.matmul == counted.projections + 64 * 32


@pytest.mark.parametrize("checked", ["small", "rich"])
def test_executed_flops_equal_the_full_convention(model, config, rich, batch, checked) -> None:
    """The dense reference computes all pairs, forward and backward, which is what the full convention counts."""
    section = config() if checked == "small" else config(rich)
    built = model(section, pins={"attention": "reference"})
    tokens, targets, meta = batch(length=40)
    with FlopCounterMode(display=False) as counter:
        built(tokens, targets, meta)[0].backward()
    assert counter.get_total_flops() == tokens.numel() * accounting.flops_per_token(section, 64, 40).full


@given(sequence=st.integers(1, 200), window=st.one_of(st.none(), st.integers(1, 250)))
def test_mean_pairs_is_the_mean(sequence: int, window: int | None) -> None:
    seen = [min(t, window or t) for t in range(1, sequence + 1)]
    assert abs(accounting.mean_pairs(sequence, window) - sum(seen) / sequence) < 1e-9


def test_windows_count_in_the_windowed_convention_only(config, rich) -> None:
    narrow, wide = config(rich), config((rich[1], rich[1]))
    a, b = (accounting.flops_per_token(section, 64, 100) for section in (narrow, wide))
    dense_a, dense_b = (6 * accounting.parameters(section, 64).matmul for section in (narrow, wide))
    assert a.full - dense_a == b.full - dense_b
    assert a.windowed - dense_a < b.windowed - dense_b
    pairs = accounting.mean_pairs(100, 9) + accounting.mean_pairs(100, None)
    assert a.windowed - dense_a == pytest.approx(12 * 32 * pairs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cache_bytes(model, config, rich, dtype) -> None:
    section = config(rich)
    state = model(section, compute=dtype).init_state(3, 77)
    for block, cached in zip(section.blocks, state.blocks, strict=True):
        measured = sum(part.numel() * part.element_size() for part in cached)
        assert measured == 3 * softmax.state_bytes(block.mixer, 77, dtype.itemsize)
