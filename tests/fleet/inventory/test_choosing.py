"""Devices and profile of a run on a host."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.errors import Usage
from fleet.inventory.profiles import Device, choose

H100 = "NVIDIA H100 80GB HBM3"


def devices(*names: str, capability: tuple[int, int] | None = None) -> list[Device]:
    """GPUs of these names."""
    return [Device(index, name, f"GPU-{index}", capability) for index, name in enumerate(names)]


def test_equal_devices_are_all_used_with_their_profile() -> None:
    choice = choose(devices(H100, H100, H100))
    assert (choice.profile.name, choice.nproc, len(choice.devices)) == ("h100-sxm", 3, 3)
    assert choice.settings == choice.profile.settings
    assert choice.notices == ()


def test_indices_select_in_their_order_and_processes_limit_them() -> None:
    choice = choose(devices(H100, H100, H100), gpus=(2, 0, 2))
    assert [device.index for device in choice.devices] == [2, 0]
    choice = choose(devices(H100, H100, H100), nproc=2)
    assert ([device.index for device in choice.devices], choice.nproc) == ([0, 1], 2)


def test_mixed_models_are_refused_unless_one_kind_is_selected() -> None:
    mixed = devices("NVIDIA L4", "NVIDIA L40S", "NVIDIA L4")
    with pytest.raises(Usage, match=r"different GPUs: 0 \(NVIDIA L4\), 1 \(NVIDIA L40S\)") as raised:
        choose(mixed)
    assert "--gpus" in raised.value.fix
    choice = choose(mixed, gpus=(0, 2))
    assert (choice.profile.name, choice.nproc) == ("l4", 2)


def test_a_cpu_host_is_chosen_only_without_devices() -> None:
    choice = choose([], cores=8)
    assert (choice.profile.name, choice.nproc, choice.devices) == ("cpu", 1, ())
    assert choice.settings["training.threads"] == 8
    assert choose([], cores=8, nproc=3).settings["training.threads"] == 2
    assert choose([], cores=1, nproc=2).settings["training.threads"] == 1
    assert "training.threads" not in choose([]).settings
    assert choose(devices(H100), gpu="cpu").settings["training.device"] == "cpu"


@pytest.mark.parametrize(("capability", "compute"), [((8, 0), "bf16"), ((9, 0), "bf16"), ((7, 5), "fp32")])
def test_a_product_without_a_row_is_generic_with_a_notice(capability: tuple[int, int] | None, compute: str) -> None:
    choice = choose(devices("NVIDIA L40S", capability=capability))
    assert choice.profile.name == "generic"
    assert choice.settings == {"training.compile": "none", "precision.compute": compute}
    assert choice.notices == ('no profile matches "NVIDIA L40S"; the settings are cautious, and MFU cannot be given',)


def test_the_trainer_decides_where_the_capability_was_not_asked() -> None:
    assert choose(devices("NVIDIA L40S", capability=None)).settings == {"training.compile": "none"}


def test_a_named_profile_is_used_and_its_difference_told() -> None:
    choice = choose(devices("NVIDIA L40S"), gpu="l4")
    assert choice.profile.name == "l4"
    assert choice.notices == ('fleet.json says gpu "l4", and the host reports "NVIDIA L40S" (no profile)',)
    assert choose(devices(H100), gpu="h200").notices[0].endswith("(profile h100-sxm)")
    assert choose(devices(H100), gpu="h100-sxm").notices == ()


@pytest.mark.parametrize(
    ("host", "options", "said"),
    [
        (["NVIDIA L4"], {"gpus": (0, 3)}, r"no usable GPU 3; the host has 0 \(NVIDIA L4\)"),
        ([], {"gpus": (0,)}, "the host has none"),
        ([], {"gpu": "l4"}, 'the profile "l4" needs a GPU'),
        (["NVIDIA L4"], {"nproc": 2}, "2 processes on 1 GPUs"),
        (["NVIDIA L4"], {"nproc": 0}, "0 processes on 1 GPUs"),
        ([], {"nproc": 0}, "0 processes on a CPU"),
    ],
)
def test_what_cannot_be(host: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(Usage, match=said):
        choose(devices(*host), **options)
