"""Fake tools answer as the real ones do, on a host and from its PATH."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.farm import fakes
from tests.farm.server import SYSTEM_PATH
from tests.farm.sshd import Farm


def call(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of the folder with nothing else but the system's programs."""
    path = f"{folder}:{SYSTEM_PATH}"
    return subprocess.run([folder / name, *arguments], capture_output=True, text=True, env={"PATH": path})


def test_gpus_are_listed_and_queried(tmp_path: Path) -> None:
    devices = fakes.gpus(8, seed="h0")
    fakes.nvidia_smi(tmp_path, devices)
    listed = call(tmp_path, "nvidia-smi", "-L").stdout.splitlines()
    assert listed == [f"GPU {gpu.index}: NVIDIA H100 80GB HBM3 (UUID: {gpu.uuid})" for gpu in devices]
    asked = call(tmp_path, "nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits")
    assert asked.stdout.splitlines() == [f"{gpu.index}, {gpu.uuid}, 81559" for gpu in devices]


def test_units_header_and_one_device(tmp_path: Path) -> None:
    fakes.nvidia_smi(tmp_path, fakes.gpus(2, model="NVIDIA L4", temperature_gpu="91"))
    query = "--query-gpu=name, temperature.gpu, power.limit,clocks_event_reasons.hw_slowdown"
    asked = call(tmp_path, "nvidia-smi", query, "--format=csv", "-i", "1")
    assert asked.stdout.splitlines() == [
        "name, temperature.gpu, power.limit [W], clocks_event_reasons.hw_slowdown",
        "NVIDIA L4, 91, 700.00 W, Not Active",
    ]


def test_processes_on_gpus(tmp_path: Path) -> None:
    devices = fakes.gpus(2)
    fakes.nvidia_smi(tmp_path, devices, apps=[(1, 42, "/usr/bin/python3", 900)])
    query = "--query-compute-apps=gpu_uuid,pid,process_name,used_memory"
    asked = call(tmp_path, "nvidia-smi", query, "--format=csv,noheader,nounits")
    assert asked.stdout.splitlines() == [f"{devices[1].uuid}, 42, /usr/bin/python3, 900"]


def test_hosts_have_different_gpus() -> None:
    uuids = {gpu.uuid for host in range(20) for gpu in fakes.gpus(8, seed=f"h{host}")}
    assert len(uuids) == 160
    assert fakes.gpus(1, seed="h3") == fakes.gpus(1, seed="h3")


def test_an_unknown_field_fails_as_the_real_one(tmp_path: Path) -> None:
    fakes.nvidia_smi(tmp_path, fakes.gpus(1))
    asked = call(tmp_path, "nvidia-smi", "--query-gpu=index,speed", "--format=csv")
    assert asked.returncode == 2 and 'Field "speed" is not a valid field to query.' in asked.stdout
    assert call(tmp_path, "nvidia-smi", "--reset").returncode == 1
    assert call(tmp_path, "nvidia-smi", "--query-gpu=index").returncode == 2


def test_a_lost_gpu_and_a_hung_driver(tmp_path: Path) -> None:
    fakes.failing_nvidia_smi(tmp_path / "lost")
    lost = call(tmp_path / "lost", "nvidia-smi", "-L")
    assert lost.returncode == 15 and "GPU is lost" in lost.stdout
    fakes.hanging_nvidia_smi(tmp_path / "hung")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([tmp_path / "hung" / "nvidia-smi"], timeout=0.3)


def test_kernel_logs(tmp_path: Path) -> None:
    fakes.dmesg(tmp_path, [(79, "0000:3b:00"), (31, "0000:18:00")])
    plain = call(tmp_path, "dmesg").stdout.splitlines()
    assert "NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, name=python" in plain[2]
    assert plain[0].startswith("[ 1000.000000] ") and len(plain) == 4
    assert call(tmp_path, "dmesg", "--ctime").stdout.startswith("[Mon Jan ")
    fakes.unreadable_dmesg(tmp_path / "no")
    assert call(tmp_path / "no", "dmesg").returncode == 1


def test_tar_without_long_options(tmp_path: Path) -> None:
    fakes.plain_tar(tmp_path / "bin")
    (tmp_path / "file").write_text("x")
    refused = call(tmp_path / "bin", "tar", "-c", "--sort=name", "-f", "-", "-C", str(tmp_path), "file")
    assert refused.returncode == 1 and "unrecognized option" in refused.stderr
    assert call(tmp_path / "bin", "tar", "-c", "-f", "-", "-C", str(tmp_path), "file").returncode == 0


@pytest.mark.needs("sshd")
def test_a_host_without_tools(farm: Callable[..., Farm], tmp_path: Path) -> None:
    path = fakes.without(tmp_path / "bin", ["flock", "sha256sum", "python3*"], {"hostname": "echo odd\n"})
    [host] = farm(1, fresh=True, path=path).hosts
    shown = host.ssh("for tool in flock sha256sum python3 tar mv; do command -v $tool || echo no $tool; done; hostname")
    expected = ["no flock", "no sha256sum", "no python3", str(path / "tar"), str(path / "mv"), "odd"]
    assert shown.stdout.decode().splitlines() == expected
    assert shutil.which("tar"), "the real ones stay as they are"


@pytest.mark.needs("sshd")
def test_each_host_has_its_own_tools(farm: Callable[..., Farm], tmp_path: Path) -> None:
    def tools(index: int) -> Path:
        return fakes.nvidia_smi(tmp_path / f"bin{index}", fakes.gpus(index + 1, seed=f"h{index}"))

    hosts = farm(2, fresh=True, path_first=tools).hosts
    assert [len(host.ssh("nvidia-smi -L").stdout.splitlines()) for host in hosts] == [1, 2]
