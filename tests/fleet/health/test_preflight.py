"""The preflight: what is checked, what blocks, and the remedy."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from fleet.errors import RemoteFailed
from fleet.health import Check, preflight
from fleet.health.host import read_host
from fleet.health.preflight_host import TOOLS, host_checks, survival_checks
from fleet.health.rules import LIMITS
from fleet.health.sections import parse
from fleet.ssh import Deadline
from tests.farm.fakes import dmesg, failing_nvidia_smi, gpus, nvidia_smi, tool
from tests.fleet.health.conftest import DEPLOY_DIR


def checks(host, **options: Any) -> dict[str, Check]:
    """The checks by id; of several with one id, the worst."""
    facts = {"quick": True, "deadline": Deadline.after(30), **options}
    found = preflight(host.transport, DEPLOY_DIR, **facts)
    return {check.id: check for check in sorted(found, key=lambda check: ("ok", "warn", "fail").index(check.status))}


def failing(found: dict[str, Check]) -> set[str]:
    return {check.id for check in found.values() if check.status == "fail"}


def test_a_fit_host(host) -> None:
    found = checks(host, quick=False)
    assert not failing(found)
    parts = {"host.python", "host.tools", "host.disk", "host.filesystem", "host.shm", "host.files", "host.clock"}
    assert parts | {"host.memory", "survival.logind", "survival.cgroup", "gpu.devices"} <= set(found)
    assert all(check.host == "local" and check.evidence for check in found.values())
    assert all(check.fix for check in found.values() if check.status == "fail")
    json.dumps([check.to_json() for check in found.values()])
    assert not {"host.shm", "host.files", "survival.cgroup"} & set(checks(host))
    assert not list(host.home.iterdir()), "a preflight changes nothing"


@pytest.mark.parametrize(("said", "status"), [("3.8.0", "ok"), ("3.7.17", "fail"), ("4.0.0", "ok"), ("2.7.18", "fail")])
def test_the_age_of_python(host, said: str, status: str) -> None:
    tool(host.tools, "python3", f"echo {said}\n")
    check = checks(host)["host.python"]
    assert check.status == status and said in check.evidence


def test_a_python_that_is_named_is_tried_first(host) -> None:
    tool(host.tools, "mypython", "echo 3.9.1\n")
    assert "mypython is 3.9.1" in checks(host, python=str(host.tools / "mypython"))["host.python"].evidence
    tool(host.tools, "broken", 'echo "libffi.so.6: cannot open" >&2\nexit 127\n')
    check = checks(host, python="broken")["host.python"]
    assert check.status == "fail" and "libffi" in check.evidence


def test_a_deploy_dir_that_cannot_be_made_is_found_before_it_is_needed(host) -> None:
    (host.home / "note").write_text("a file where a folder should be\n")
    (host.home / "link").symlink_to("nowhere")
    for deploy_dir in ("~/note", "~/note/hydra", "~/link", "~/link/hydra"):
        found = preflight(host.transport, deploy_dir, quick=True, deadline=Deadline.after(30))
        assert [check.status for check in found if check.id == "host.place"] == ["fail"], deploy_dir
    assert "host.place" not in checks(host)


def test_missing_tools_and_what_takes_their_place(host) -> None:
    gone = ["flock", "sha256sum", "setsid", "timeout", "tar"]
    host.lacks(*gone)
    found = checks(host)
    assert {name: found[f"host.tools.{name}"].status for name in gone} == {
        "flock": "warn",
        "sha256sum": "warn",
        "setsid": "ok",
        "timeout": "ok",
        "tar": "fail",
    }
    for name in gone:
        assert TOOLS[name][1] in found[f"host.tools.{name}"].evidence


def test_no_python_at_all() -> None:
    answer = parse(b"fleet-probe 1\n=tool tar yes\n=end 1\n")
    [check] = [
        one for one in host_checks("a", answer, read_host(answer), LIMITS, quick=True) if one.id == "host.python"
    ]
    assert (check.status, check.evidence) == ("fail", "no Python was found")


def test_disk_that_should_stay_free(host) -> None:
    check = checks(host, limits=replace(LIMITS, free_gib=1e7))["host.disk"]
    assert check.status == "warn" and "1e+07 GiB should be" in check.evidence


@pytest.mark.parametrize(
    ("kind", "status"), [("nfs", "warn"), ("fuseblk", "warn"), ("UNKNOWN (0xbd00bd0)", "ok"), ("overlayfs", "ok")]
)
def test_file_systems_over_a_network(kind: str, status: str) -> None:
    answer = parse(f"fleet-probe 1\n=disk 4096 9999999999 9999999998 0 0 {kind}\n=end 1\n".encode())
    found = {check.id: check for check in host_checks("a", answer, read_host(answer), LIMITS, quick=True)}
    assert (found["host.filesystem"].status, found["host.disk"].status) == (status, "ok")
    assert kind in found["host.filesystem"].evidence


@pytest.mark.parametrize(
    ("lines", "id_", "status"),
    [
        (["=shm 4096 16384 16384"], "host.shm", "warn"),
        (["=shm 4096 1048576 5"], "host.shm", "ok"),
        (["=files 1024 2048"], "host.files", "warn"),
        (["=files 1024 1048576"], "host.files", "ok"),
        (["=files unlimited unlimited"], "host.files", "ok"),
    ],
)
def test_limits(lines: list[str], id_: str, status: str) -> None:
    answer = parse("\n".join(["fleet-probe 1", *lines, "=end 1"]).encode())
    found = {check.id: check.status for check in host_checks("a", answer, read_host(answer), LIMITS, quick=False)}
    assert found[id_] == status


USER = "=user 1000\n|ada\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (f"{USER}=logind kills", "fail"),
        (f"{USER}=logind kills\n=linger yes", "ok"),
        ("=user 0\n|root\n=logind kills", "ok"),
        (f"{USER}=logind spares", "ok"),
        (f"{USER}=logind unknown", "warn"),
        (f"{USER}=logind absent", "ok"),
    ],
)
def test_logind(said: str, status: str) -> None:
    answer = parse(f"fleet-probe 1\n{said}\n=end 1\n".encode())
    [check] = survival_checks("a", answer, quick=True)
    assert (check.id, check.status) == ("survival.logind", status)
    assert (check.fix == "loginctl enable-linger ada") == (status != "ok")


def test_logind_is_asked(host) -> None:
    tool(host.tools, "busctl", 'case "$*" in *login1*KillUserProcesses*RemoveIPC) printf "b true\\nb true\\n";; esac\n')
    tool(host.tools, "id", "case $1 in -u) echo 1000;; *) echo ada;; esac\n")
    found = checks(host, quick=False)
    assert (found["survival.logind"].status, found["survival.ipc"].status) == ("fail", "warn")
    tool(host.tools, "loginctl", 'case "$*" in "show-user ada --property=Linger") echo Linger=yes;; esac\n')
    found = checks(host, quick=False)
    assert found["survival.logind"].status == "ok" and "survival.ipc" not in found


@pytest.mark.parametrize("kind", ["usable", "absent", "old", "closed"])
def test_control_groups_never_block(kind: str) -> None:
    answer = parse(f"fleet-probe 1\n=cgroup2 {kind}\n=end 1\n".encode())
    check = list(survival_checks("a", answer, quick=False))[-1]
    assert (check.id, check.status) == ("survival.cgroup", "ok") and check.evidence != "not known"


def test_fit_gpus(host) -> None:
    nvidia_smi(host.tools, gpus(2))
    dmesg(host.tools, [])
    found = checks(host)
    assert not failing(found)
    assert found["gpu.devices"].evidence == "driver 570.86.15; 0: NVIDIA H100 80GB HBM3, 1: NVIDIA H100 80GB HBM3"
    assert {"gpu.ecc", "gpu.xid", "gpu.throttle", "gpu.foreign", "gpu.power", "gpu.clocks", "gpu.mode"} <= set(found)


def test_a_foreign_process_blocks_unless_it_is_accepted_or_elsewhere(host) -> None:
    nvidia_smi(host.tools, gpus(2), apps=[(1, os.getpid(), "python", 2048)])
    found = checks(host)
    assert failing(found) == {"gpu.foreign"}
    assert f"(pid {os.getpid()}, 2.0 GiB)" in found["gpu.foreign"].evidence
    assert checks(host, allow_busy=True)["gpu.foreign"].status == "warn"
    assert checks(host, gpus=[0])["gpu.foreign"].status == "warn"
    assert checks(host, gpus=[1])["gpu.foreign"].status == "fail"
    nvidia_smi(host.tools, gpus(2), apps=[(1, 2**22 + 5, "far", 2048)])
    assert checks(host)["gpu.foreign"].status == "warn", "it cannot be told whose it is"


def test_a_process_of_our_own_is_not_foreign(host) -> None:
    ours = subprocess.Popen(["sleep", "30"], env={"FLEET_RUN_ID": "small-lm-20260131-235959-k3qz"})
    try:
        nvidia_smi(host.tools, gpus(1), apps=[(0, ours.pid, "python", 10)])
        assert checks(host)["gpu.foreign"].status == "ok"
    finally:
        ours.kill()
        ours.wait()


@pytest.mark.parametrize(
    ("values", "id_", "status"),
    [
        ({"ecc_errors_uncorrected_volatile_total": "2"}, "gpu.ecc", "fail"),
        ({"remapped_rows_pending": "Yes"}, "gpu.remap", "warn"),
        ({"retired_pages_pending": "Yes"}, "gpu.remap", "warn"),
        ({"remapped_rows_failure": "Yes"}, "gpu.remap", "fail"),
        ({"power_limit": "350.00"}, "gpu.power", "warn"),
        ({"clocks_throttle_reasons_active": "0x2"}, "gpu.clocks", "warn"),
        ({"compute_mode": "Prohibited"}, "gpu.mode", "fail"),
        ({"mig_mode_current": "Enabled"}, "gpu.mode", "fail"),
    ],
)
def test_how_a_card_is_set_up(host, values: dict[str, str], id_: str, status: str) -> None:
    nvidia_smi(host.tools, gpus(1, **values))
    check = checks(host)[id_]
    assert check.status == status and check.fix and "GPU 0" in check.evidence
    assert checks(host, gpus=[])[id_].status == "warn", "no run uses it"


def test_throttling_is_looked_at_three_times(host) -> None:
    nvidia_smi(host.tools, gpus(1, clocks_throttle_reasons_active="0x8"))
    assert checks(host)["gpu.throttle"].status == "ok", "one look proves nothing"
    tool(host.tools, "sleep", 'case $1 in 1) exit 0;; esac\nexec /bin/sleep "$@"\n')
    assert checks(host, quick=False)["gpu.throttle"].status == "warn"


def test_trouble_with_the_driver(host) -> None:
    failing_nvidia_smi(host.tools, 9)
    assert failing(checks(host)) == {"gpu.smi"}
    tool(host.tools, "nvidia-smi", "exec sleep 60\n")
    assert "in time" in checks(host, smi_seconds=1)["gpu.smi"].evidence
    nvidia_smi(host.tools, gpus(1))
    dmesg(host.tools, [(79, "0000:3b:00"), (31, "0000:18:00")])
    assert failing(checks(host)) == {"gpu.xid"}
    assert failing(checks(host, known_gpus=["GPU-1", "GPU-2"], gpus=[0, 4])) == {"gpu.xid", "gpu.count", "gpu.devices"}


def test_an_answer_that_breaks_off_is_an_error(host) -> None:
    tool(host.tools, "sh", "exit 3\n")
    with pytest.raises(RemoteFailed, match="exit status 3, stdout empty, stderr empty"):
        checks(host)
