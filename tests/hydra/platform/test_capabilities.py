"""The capability record: detected once, frozen, and honest about what is not there."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from hydra.errors import Unsupported
from hydra.platform import capabilities, peak_flops
from hydra.platform import capabilities as detect


def test_the_cpu_is_described_once() -> None:
    found = capabilities("cpu")
    assert found is capabilities(torch.device("cpu"))
    assert found.kind == found.device == "cpu"
    assert found.memory_bytes > 2**28
    assert found.cores >= 1
    assert found.versions["torch"] == torch.__version__
    assert found.compute_capability is None
    assert found.peak_flops is None
    assert found.name in found.headline
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.kind = "cuda"  # type: ignore[misc]  # the assignment is the test


def test_an_absent_gpu_is_an_error_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Unsupported, match="no CUDA device") as told:
        capabilities("cuda")
    assert "training: {device: cpu}" in str(told.value)


def test_other_devices_are_refused() -> None:
    with pytest.raises(Unsupported, match="'meta' is not supported"):
        capabilities("meta")


def test_a_gpu_is_described_by_its_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(
        name="NVIDIA H200",
        major=9,
        minor=0,
        total_memory=150 * 2**30,
        multi_processor_count=132,
        shared_memory_per_block=49152,
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 27, 5))
    try:
        found = detect("cuda")
    finally:
        from hydra.platform.capabilities import _cuda

        _cuda.cache_clear()
    assert found.device == "cuda:3"
    assert found.compute_capability == (9, 0)
    assert found.dtypes == ("fp32", "fp16", "bf16", "fp8")
    assert found.peak_flops == 989e12
    assert found.versions["nccl"] == "2.27.5"
    assert "sm_90" in found.headline


def test_peaks_are_by_exact_name() -> None:
    assert peak_flops("NVIDIA H200") == 989e12
    assert peak_flops("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_flops("NVIDIA H300") is None


def test_importing_detects_nothing() -> None:
    code = (
        "import hydra.platform, sys, torch; c = sys.modules['hydra.platform.capabilities']; "
        "assert c._cpu.cache_info().currsize == c._cuda.cache_info().currsize == 0; "
        "assert not torch.cuda.is_initialized()"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
