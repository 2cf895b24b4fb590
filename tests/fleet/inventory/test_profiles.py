"""One test a row: its product and no neighbour's, its figures, and settings that the manifest has."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.inventory.profiles import NAMES, PROFILES, matching
from hydra.manifest import load
from hydra.manifest.flow import flow

#: Memory in GB, bandwidth in TB/s as the table of the specification rounds it, dense bf16 peak in TFLOP/s.
FIGURES = {
    "l4": (24, 0.3, 121),
    "rtx4090": (24, 1.0, 165),
    "a100-40": (40, 1.6, 312),
    "a100-80": (80, 2.0, 312),
    "h100-pcie": (80, 2.0, 756),
    "h100-nvl": (94, 3.9, 835),
    "h100-sxm": (80, 3.35, 989),
    "h200": (141, 4.8, 989),
}
PRODUCTS = {
    "l4": ["NVIDIA L4"],
    "rtx4090": ["NVIDIA GeForce RTX 4090"],
    "a100-40": ["NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB"],
    "a100-80": ["NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe"],
    "h100-pcie": ["NVIDIA H100 PCIe"],
    "h100-nvl": ["NVIDIA H100 NVL"],
    "h100-sxm": ["NVIDIA H100 80GB HBM3"],
    "h200": ["NVIDIA H200"],
}
#: Products whose names begin, end or look like one of the table and whose figures differ.
NEIGHBOURS = [
    *("NVIDIA L40", "NVIDIA L40S", "NVIDIA L4-24Q", "L4", "NVIDIA L400"),
    *("NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4080"),
    *("NVIDIA A100X", "NVIDIA A100-SXM-64GB", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA A10", "NVIDIA A100"),
    *("NVIDIA A800-SXM4-80GB", "NVIDIA H100", "NVIDIA H100 80GB HBM2e", "NVIDIA H100 80GB HBM3 MIG 3g.40gb"),
    *("NVIDIA H800", "NVIDIA H20", "NVIDIA GH200 480GB", "NVIDIA H200 NVL", "NVIDIA B200", "nvidia h200", ""),
]


def test_the_table_has_the_rows_of_the_specification() -> None:
    assert set(NAMES) == {"cpu", *FIGURES, "generic"} == set(PROFILES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_row(name: str, root: Path) -> None:
    profile = PROFILES[name]
    memory, bandwidth, peak = FIGURES[name]
    assert (profile.memory_gb, profile.bf16_tflops) == (memory, peak)
    assert profile.bandwidth_gb_s == pytest.approx(bandwidth * 1000, rel=0.03)
    assert profile.source.startswith("NVIDIA")
    assert list(profile.products) == PRODUCTS[name]
    for product in PRODUCTS[name]:
        assert matching(product) is profile
        assert matching(f" {product}\n") is profile
    check_settings(name, root)


@pytest.mark.parametrize("name", ["cpu", "generic"])
def test_a_row_without_a_product(name: str, root: Path) -> None:
    profile = PROFILES[name]
    assert (profile.products, profile.memory_gb, profile.bandwidth_gb_s, profile.bf16_tflops) == ((), None, None, None)
    assert profile.source
    check_settings(name, root)


def check_settings(name: str, root: Path) -> None:
    """The manifest takes every setting of a row, under the same name and with the same value."""
    settings = PROFILES[name].settings
    overrides = [f"{setting}={flow(value)}" for setting, value in settings.items()]
    [run] = load(root / "manifests" / "default.yaml", overrides).runs
    for (setting, value), override in zip(settings.items(), overrides, strict=True):
        assert run.origins[setting] == f"--set {override}"
        section, _, key = setting.rpartition(".")
        assert getattr(getattr(run.manifest, section), key) == value


@pytest.mark.parametrize("product", NEIGHBOURS)
def test_a_neighbour_matches_nothing(product: str) -> None:
    assert matching(product) is None


def test_profiles_say_what_the_specification_says() -> None:
    settings = {name: dict(profile.settings) for name, profile in PROFILES.items()}
    assert settings["cpu"]["precision.compute"] == "fp32"
    assert settings["cpu"]["training.compile"] == "none"
    assert settings["generic"] == {"training.compile": "none"}
    for name in FIGURES:
        assert settings[name]["precision.compute"] == "bf16"
        assert settings[name]["training.compile"] == "blocks"
    recomputing = {name for name in FIGURES if settings[name]["training.activation_checkpointing"] == "selective"}
    assert recomputing == {"l4", "rtx4090", "a100-40"}
    assert {name for name in FIGURES if settings[name].get("precision.tf32")} == {"a100-40", "a100-80"}
    assert {name for name in FIGURES if settings[name].get("training.log_every") == 25} == {"l4", "rtx4090"}
    assert settings["h200"] == settings["h100-sxm"] == settings["h100-nvl"] == settings["h100-pcie"]
