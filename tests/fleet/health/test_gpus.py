"""GPUs as nvidia-smi tells them: all of them, broken ones, a tool that fails, hangs or is stuck for ever."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.health import HostReport, preflight
from fleet.ssh import Deadline
from hydra.runs import process_identity
from tests.farm.fakes import dmesg, failing_nvidia_smi, gpus, hanging_nvidia_smi, nvidia_smi, tool
from tests.fleet.health.conftest import DEPLOY_DIR

MIB = 1 << 20


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def with_marker(host) -> Path:
    """Give the host an nvidia-smi that notes each of its starts; returns the note."""
    note = host.home.parent / "started"
    nvidia_smi(host.tools, gpus(1))
    (host.tools / "nvidia-smi").rename(host.tools / "real-smi")
    tool(host.tools, "nvidia-smi", f'echo start >>{note}\nexec real-smi "$@"\n')
    return note


def test_eight_gpus(host) -> None:
    devices = gpus(8, seed="a", utilization_gpu="97", memory_used="70000", power_draw="655.10", temperature_gpu="61")
    nvidia_smi(host.tools, devices, apps=[(3, os.getpid(), "python", 69000)])
    report = host.look()
    assert (report.state, report.health) == ("up", ())
    assert report.uuids == tuple(device.uuid for device in devices)
    gpu = report.gpus[3]
    assert (gpu.index, gpu.name, gpu.driver) == (3, "NVIDIA H100 80GB HBM3", "570.86.15")
    assert (gpu.utilization, gpu.temperature, gpu.power, gpu.power_limit) == (97.0, 61.0, 655.1, 700.0)
    assert (gpu.memory_used, gpu.memory_total) == (70000 * MIB, 81559 * MIB)
    assert (gpu.throttle, gpu.ecc_uncorrected, gpu.remap_pending, gpu.remap_failed) == (("idle",), 0, False, False)
    assert [(process.pid, process.memory_bytes) for process in gpu.processes] == [(os.getpid(), 69000 * MIB)]
    assert report.gpus[0].processes == ()


def test_whose_the_processes_are(host) -> None:
    ours = subprocess.Popen(["sleep", "30"], env={"FLEET_RUN_ID": "small-lm-20260131-235959-k3qz", "A": "b\nc"})
    theirs = subprocess.Popen(["sleep", "30"], env={})
    try:
        apps = [(0, ours.pid, "python", 10), (0, theirs.pid, "x", 20), (0, 2**22 + 5, "far", 30)]
        nvidia_smi(host.tools, gpus(1), apps=apps)
        seen = host.look(detail=True).gpus[0].processes
        assert [process.run for process in seen] == ["small-lm-20260131-235959-k3qz", None, None]
        assert [process.visible for process in seen] == [True, True, False]
        assert [process.command for process in seen] == ["sleep", "sleep", None]
        assert seen[0].user == Path(f"/proc/{ours.pid}").owner()
    finally:
        for process in (ours, theirs):
            process.kill()
            process.wait()


def test_an_older_driver_is_asked_for_less(host) -> None:
    nvidia_smi(host.tools, gpus(2))
    said = 'Field "remapped_rows.pending" is not a valid field to query.'
    refuse = f"case $1 in *remapped_rows*) echo '{said}'; exit 2;; esac"
    (host.tools / "nvidia-smi").rename(host.tools / "real-smi")
    tool(host.tools, "nvidia-smi", f'{refuse}\nexec real-smi "$@"\n')
    report = host.look()
    assert (report.state, len(report.gpus)) == ("up", 2) and report.gpus[0].capability is None
    assert report.gpus[1].memory_total == 81559 * MIB and report.gpus[1].ecc_uncorrected is None


@pytest.mark.parametrize(
    ("answer", "known"), [("9.0", (9, 0)), ("12.1", (12, 1)), ("7.5", (7, 5)), ("[N/A]", None), ("9", None)]
)
def test_the_compute_capability(host, answer: str, known: tuple[int, int] | None) -> None:
    nvidia_smi(host.tools, gpus(2, compute_cap=answer))
    report = host.look()
    assert [gpu.capability for gpu in report.gpus] == [known, known]
    assert report.gpus[0].to_json()["compute_capability"] == (None if known is None else answer)


def test_a_driver_that_does_not_know_the_capability_is_asked_for_the_rest(host) -> None:
    nvidia_smi(host.tools, gpus(2))
    (host.tools / "nvidia-smi").rename(host.tools / "real-smi")
    refuse = "case $1 in *compute_cap*) echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2;; esac"
    tool(host.tools, "nvidia-smi", f'{refuse}\nexec real-smi "$@"\n')
    report = host.look()
    assert (report.state, len(report.gpus)) == ("up", 2)
    assert report.gpus[1].capability is None and report.gpus[1].ecc_uncorrected == 0
    found = preflight(host.transport, DEPLOY_DIR, quick=True, deadline=Deadline.after(30))
    assert {check.status for check in found if check.id.startswith("gpu.")} == {"ok"}


def test_a_lost_gpu_hides_no_other(host, ids) -> None:
    good, bad = gpus(2)
    lost = {"memory.total": "[GPU is lost]", "utilization.gpu": "[GPU is lost]", "power.draw": "ERR!"}
    nvidia_smi(host.tools, [good, type(bad)(1, bad.name, bad.uuid, lost)])
    report = host.look()
    assert ids(report) == {("gpu.lost", "failure")}
    assert (report.health[0].gpu, report.gpus[1].power, report.gpus[0].memory_total) == (1, None, 81559 * MIB)
    assert report.state == "degraded" and "GPU 1" in report.reason


def test_a_failing_tool_is_a_failure_with_its_words(host, ids) -> None:
    failing_nvidia_smi(host.tools, 15)
    report = host.look()
    assert ids(report) == {("gpu.smi", "failure")}
    assert "status 15, a GPU fell off the bus" in report.reason and "GPU is lost" in report.reason
    assert report.state == "degraded"


def test_gpus_that_were_there_before(host, ids) -> None:
    devices = gpus(3)
    nvidia_smi(host.tools, devices[:2])
    known = [device.uuid for device in devices]
    report = host.look(known_gpus=known)
    assert ids(report) == {("gpu.count", "failure")}
    assert f"2 of 3 GPUs are there; missing: {devices[2].uuid}" in report.reason
    assert host.look(known_gpus=known[:2]).health == ()


def test_a_tool_that_is_gone_counts_as_gpus_that_are_gone(host, ids) -> None:
    assert ids(host.look(known_gpus=["GPU-1"])) == {("gpu.count", "failure")}


def test_throttling_is_said_at_the_third_look(host, ids) -> None:
    nvidia_smi(host.tools, gpus(2, clocks_throttle_reasons_active="0x0000000000000048"))
    before = None
    for expected in (set(), set(), {("gpu.throttle", "warning")}):
        before = host.look(before=before)
        assert ids(before) == expected
    nvidia_smi(host.tools, gpus(2, clocks_throttle_reasons_active="0x0000000000000004"))
    assert host.look(before=before).gpus[0].slowdowns == 0, "a power cap set in software is no fault"


def gone(pid: int) -> bool:
    return process_identity(pid) is None


@pytest.mark.parametrize("deployed", [True, False])
def test_a_hanging_tool_is_killed_and_said(host, ids, deployed: bool) -> None:
    if deployed:
        host.deployed()
    host.run(locked=True)
    note = host.home.parent / "pid"
    tool(host.tools, "nvidia-smi", f"echo $$ >{note}\nexec sleep 60\n")
    begun = time.monotonic()
    report = host.look(smi_seconds=1)
    assert time.monotonic() - begun < 4
    assert ids(report) == {("gpu.smi", "failure")} and "did not answer in time" in report.reason
    assert [run.state for run in report.runs] == ["running"], "everything else is told all the same"
    assert until(lambda: gone(int(note.read_text())))
    nvidia_smi(host.tools, gpus(1))
    assert host.look(smi_seconds=5).state == "up", "one bad look disables nothing"


def test_one_that_hangs_after_the_first_question_shares_its_time(host, ids) -> None:
    nvidia_smi(host.tools, gpus(1))
    (host.tools / "nvidia-smi").rename(host.tools / "real-smi")
    tool(host.tools, "nvidia-smi", 'case $1 in *apps*) exec sleep 60;; esac\nexec real-smi "$@"\n')
    begun = time.monotonic()
    report = host.look(smi_seconds=1)
    assert time.monotonic() - begun < 4
    assert len(report.gpus) == 1 and ids(report) == {("gpu.smi", "failure")}


@pytest.mark.parametrize("flock", [True, False])
def test_a_stuck_one_is_recognised_and_not_joined(host, ids, flock: bool) -> None:
    """This test's own process plays the one that cannot be killed: it lives, is old, and holds the lock."""
    ledger = host.deployed() / "locks" / "nvidia-smi"
    note = with_marker(host)
    if not flock:
        host.lacks("flock")
    identity = process_identity()
    assert identity is not None
    with ledger.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{identity.pid} {identity.start}\n")
        file.flush()
        report = host.look(smi_seconds=1)
    assert ids(report) == {("gpu.smi", "failure")}
    assert f"(process {identity.pid}) has not answered for" in report.reason
    assert not note.exists()
    ledger.write_text(f"{identity.pid} {identity.start + 1}\n")
    assert host.look(smi_seconds=1).state == "up", "the pid was used again by another process"
    assert note.exists()


def test_what_outlives_the_kill_does_not_hold_up_this_look_and_stops_the_next(host, ids) -> None:
    """A child of the tool keeps its output and the lock open, as a process that no signal reaches would."""
    host.deployed()
    note = host.home.parent / "pid"
    tool(host.tools, "nvidia-smi", f"/bin/sleep 60 &\necho $! >>{note}\nwait\n")
    try:
        begun = time.monotonic()
        assert ids(host.look(smi_seconds=1)) == {("gpu.smi", "failure")}
        assert time.monotonic() - begun < 4
        second = host.look(smi_seconds=1)
        assert "no other one was started" in second.reason
    finally:
        pids = [int(pid) for pid in note.read_text().split()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    assert len(pids) == 1


def test_a_lock_that_nobody_explains_is_waited_for_and_said(host, ids) -> None:
    ledger = host.deployed() / "locks" / "nvidia-smi"
    note = with_marker(host)
    with ledger.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert ids(host.look(smi_seconds=1)) == {("gpu.smi", "failure")}
    assert not note.exists()


def test_two_looks_at_once_take_turns(host) -> None:
    host.deployed()
    log = host.home.parent / "log"
    nvidia_smi(host.tools, gpus(1))
    (host.tools / "nvidia-smi").rename(host.tools / "real-smi")
    tool(host.tools, "nvidia-smi", f'echo begin >>{log}\nreal-smi "$@"\nsleep 0.1\necho end >>{log}\n')
    reports: list[HostReport] = []
    looks = [threading.Thread(target=lambda: reports.append(host.look())) for _ in range(3)]
    for look in looks:
        look.start()
    for look in looks:
        look.join()
    assert [report.state for report in reports] == ["up"] * 3
    assert log.read_text().split() == ["begin", "end"] * 6


def test_nothing_stays_behind(host) -> None:
    note = with_marker(host)
    real_sleep = host.tools / "sleep"
    tool(host.tools, "sleep", f'echo $$ >>{note}.naps\nexec /bin/sleep "$@"\n')
    for _ in range(5):
        host.look()
    assert real_sleep.exists() and note.exists()
    naps = Path(f"{note}.naps")
    assert until(lambda: all(gone(int(pid)) for pid in naps.read_text().split())), "watchdogs end with what they watch"


def test_xids_are_seen_in_detail(host, ids) -> None:
    devices = gpus(2)
    nvidia_smi(host.tools, devices)
    dmesg(host.tools, [(79, "0000:19:00")])
    assert host.look().health == ()
    report = host.look(detail=True)
    assert ids(report) == {("gpu.xid", "failure")}
    assert report.health[0].gpu == 1 and "Xid 79" in report.reason and "GPU 1 (PCI 0000:19:00)" in report.reason


def test_hanging_tool_of_the_farm(host, ids) -> None:
    hanging_nvidia_smi(host.tools, 60)
    assert ids(host.look(smi_seconds=1)) == {("gpu.smi", "failure")}
