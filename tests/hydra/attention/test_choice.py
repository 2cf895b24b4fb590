"""The choice of an implementation: made once, by the device, with reasons, and never replaced in silence."""

from __future__ import annotations

import pytest
import torch

from hydra.attention.backends.softmax.config import SoftmaxConfig
from hydra.attention.backends.softmax.implementations import choice as choices
from hydra.errors import Unsupported
from hydra.kernels import Facts

CONFIG = SoftmaxConfig.model_validate({"kind": "softmax", "heads": 4, "kv_heads": 2, "head_width": 64})


def facts(**changed) -> Facts:
    values = {"device": "cuda", "compute_capability": (9, 0), "triton": "3.6.0", "compute": torch.bfloat16}
    return Facts(**{**values, "masked": False, **changed})


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A device on which every SDPA backend takes every shape, asked without a GPU; notes who was asked."""
    asked: list[str] = []

    def probe(name: str, *shape: object) -> tuple[bool, str]:
        asked.append(name)
        return name == "efficient", ""

    monkeypatch.setattr(choices, "probe", probe)
    return asked


def chosen(given: Facts, window: int | None = None, pins: dict[str, str] | None = None):
    return choices.choose(CONFIG, window, given, pins or {})


def test_dense_causal_takes_cudnn(hopper) -> None:
    choice, core = chosen(facts())
    assert choice.implementation == "cudnn"
    assert core.expand is False
    assert not choice.rejected


def test_exact_determinism_takes_flash(hopper) -> None:
    choice, _ = chosen(facts(deterministic=True))
    assert choice.implementation == "flash"
    assert "repeat in bits" in choice.rejected["cudnn"]


def test_fp32_takes_the_efficient_kernel_with_repeated_keys(hopper) -> None:
    choice, core = chosen(facts(compute=torch.float32))
    assert choice.implementation == "efficient"
    assert core.expand is True
    assert set(choice.rejected) == {"cudnn", "flash"}


@pytest.mark.parametrize(("changed", "window"), [({"masked": True}, None), ({}, 128)])
def test_documents_and_windows_take_flex(hopper, changed, window) -> None:
    choice, _ = chosen(facts(**changed), window)
    assert choice.implementation == "flex"
    assert set(choice.rejected) == {"cudnn", "flash", "efficient"}
    assert not hopper, "a backend that cannot mask need not be asked"


def test_a_refused_shape_passes_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "probe", lambda name, *shape: (None, "too wide") if name == "cudnn" else (False, ""))
    choice, _ = chosen(facts())
    assert choice.implementation == "flash"
    assert choice.rejected == {"cudnn": "too wide"}


def test_the_reference_on_cuda_must_be_pinned(hopper) -> None:
    with pytest.raises(Unsupported, match="no fast implementation of attention") as told:
        chosen(facts(masked=True, triton=None))
    assert "needs Triton" in str(told.value)
    choice, _ = chosen(facts(masked=True, triton=None), pins={"attention": "reference"})
    assert choice.implementation == "reference"
    assert choice.slow


def test_the_cpu_takes_sdpa() -> None:
    choice, _ = chosen(facts(device="cpu", compute_capability=None))
    assert choice.implementation == "sdpa"
    assert choice.rejected["flex"] == "is compiled for CUDA"


def test_a_pin_is_honoured_or_refused(hopper) -> None:
    assert chosen(facts(), pins={"attention": "flash"})[0].implementation == "flash"
    with pytest.raises(Unsupported, match="cannot run on this cuda") as told:
        chosen(facts(masked=True), pins={"attention": "cudnn"})
    assert "no document mask" in str(told.value)
    with pytest.raises(Unsupported, match="did you mean 'flash'"):
        chosen(facts(), pins={"attention": "flsh"})


def test_a_window_as_long_as_the_context_is_none(mixer) -> None:
    assert mixer(window=1024).window is None
    assert mixer(window=1023).window == 1023


def test_causal_kernels_refuse_masked_batches(hopper, meta) -> None:
    _, core = chosen(facts())
    x = torch.zeros(1, 4, 4, 64)
    with pytest.raises(ValueError, match="document masks"):
        core(x, x, x, meta(1, 4, True))


def test_a_mixer_counts_its_calls(mixer, meta, normal) -> None:
    from hydra.kernels import calls

    module = mixer("reference")
    assert module.implementation == "reference"
    before = calls["attention", "reference", "forward"]
    module(normal(1, 4, 48), meta(1, 4, False))
    assert calls["attention", "reference", "forward"] == before + 1
