"""The numbers in the rules: what is just good enough, what warns, what blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fleet.health import Disk, Finding, Gpu, Memory, RunSummary, blocking, worst
from fleet.health.host import Host
from fleet.health.report import read_report
from fleet.health.rules import clock_findings, gpu_findings, host_findings, run_findings, smi_findings
from fleet.health.sections import parse
from fleet.ssh import Result
from tests.fleet.health.conftest import LIVE_ID

GIB = 1 << 30
FINE = Host(
    now=None,
    uptime=None,
    boot_id=None,
    machine=None,
    load=(),
    place="present",
    disk=Disk(1000 * GIB, 500 * GIB, 1000, 500, "ext2/ext3"),
    memory=Memory(100 * GIB, 50 * GIB),
    release=None,
    dangling=False,
    releases=(),
    environments=(),
)
CARD = Gpu(0, "GPU-1", "NVIDIA L40S")
RUN = RunSummary(LIVE_ID, "small-lm", "running", "", phase="train", median_step=1.0, last_step_age=1.0, heartbeat_age=1)


def states(findings: Any) -> list[tuple[str, str]]:
    return [(finding.id, finding.state) for finding in findings]


@pytest.mark.parametrize(
    ("free", "found"),
    [
        (100, []),
        (99, [("host.disk", "warning")]),
        (20, [("host.disk", "warning")]),
        (19, [("host.disk", "failure")]),
        (0, [("host.disk", "failure")]),
    ],
)
def test_disk_by_share(free: int, found: list) -> None:
    disk = Disk(1000 * GIB, free * GIB, None, None, "xfs")
    assert states(host_findings(replace(FINE, disk=disk))) == found


def test_disk_by_size() -> None:
    disk = Disk(50 * GIB, 20 * GIB, None, None, "xfs")
    assert states(host_findings(replace(FINE, disk=disk))) == []
    smaller = replace(disk, free=disk.free - 1)
    assert states(host_findings(replace(FINE, disk=smaller))) == [("host.disk", "warning")]


@pytest.mark.parametrize(("free", "state"), [(100, None), (99, "warning"), (20, "warning"), (19, "failure")])
def test_inodes_and_memory_by_share(free: int, state: str | None) -> None:
    disk = Disk(1000 * GIB, 500 * GIB, 1000, free, "xfs")
    expected = [("host.inodes", state)] if state else []
    assert states(host_findings(replace(FINE, disk=disk))) == expected
    memory = Memory(1000 * GIB, free * GIB)
    expected = [("host.memory", state)] if state else []
    assert states(host_findings(replace(FINE, memory=memory))) == expected


def test_a_folder_that_cannot_be_written_blocks() -> None:
    assert states(host_findings(replace(FINE, place="unwritable"))) == [("host.place", "failure")]
    assert states(host_findings(replace(FINE, place="absent"))) == []


@pytest.mark.parametrize(
    ("gpu", "found"),
    [
        (CARD, []),
        (replace(CARD, ecc_uncorrected=1), [("gpu.ecc", "failure")]),
        (replace(CARD, remap_pending=True), [("gpu.remap", "warning")]),
        (replace(CARD, remap_failed=True), [("gpu.remap", "failure")]),
        (replace(CARD, slowdowns=2), []),
        (replace(CARD, slowdowns=3, throttle=("hardware slowdown",)), [("gpu.throttle", "warning")]),
        (replace(CARD, temperature=89.0), []),
        (replace(CARD, temperature=90.0), [("gpu.temperature", "warning")]),
        (replace(CARD, lost="[Unknown Error]"), [("gpu.lost", "failure")]),
    ],
)
def test_one_gpu(gpu: Gpu, found: list) -> None:
    findings = list(gpu_findings(gpu))
    assert states(findings) == found
    assert all(finding.gpu == 0 and finding.evidence.startswith("GPU 0 (NVIDIA L40S)") for finding in findings)


@pytest.mark.parametrize(("offset", "found"), [(4.9, 0), (-4.9, 0), (5.9, 0), (6.1, 1), (-6.1, 1)])
def test_the_clock_by_more_than_the_question_took(offset: float, found: int) -> None:
    assert len(list(clock_findings(offset, 1.0))) == found


@pytest.mark.parametrize(
    ("run", "found"),
    [
        (RUN, []),
        (replace(RUN, last_step_age=300.0), []),
        (replace(RUN, last_step_age=301.0), [("run.stalled", "warning")]),
        (replace(RUN, last_step_age=301.0, median_step=40.0), []),
        (replace(RUN, last_step_age=401.0, median_step=40.0), [("run.stalled", "warning")]),
        (replace(RUN, last_step_age=301.0, phase="eval"), []),
        (replace(RUN, last_step_age=1801.0, phase="eval"), [("run.stalled", "warning")]),
        (replace(RUN, last_step_age=None), []),
        (replace(RUN, heartbeat_age=61.0), [("run.heartbeat", "warning")]),
        (replace(RUN, heartbeat_age=61.0, state="backoff"), []),
        (replace(RUN, state="lost", last_step_age=9e9, heartbeat_age=9e9), []),
        (replace(RUN, straggler="rank 5"), [("run.straggler", "warning")]),
    ],
)
def test_one_run(run: RunSummary, found: list) -> None:
    findings = list(run_findings(run))
    assert states(findings) == found
    assert all(finding.run == LIVE_ID for finding in findings) and not blocking(findings)


@pytest.mark.parametrize(
    ("said", "cards", "state"),
    [
        ("=smi 0", 1, None),
        ("=smi absent", 0, None),
        ("=smi missing", 0, "warning"),
        ("=smi 14\n=smi 0", 1, "warning"),
        ("=smi 14", 0, "failure"),
        ("=smi 0\n=smi 124", 1, "failure"),
        ("=smi 9", 0, "failure"),
        ("=smi 77", 0, "failure"),
        ("=smi \u0665", 0, "failure"),
        ("=smi busy", 0, "failure"),
        ("=smi stuck 5 600", 0, "failure"),
    ],
)
def test_what_nvidia_smi_says(said: str, cards: int, state: str | None) -> None:
    answer = parse(f"fleet-probe 1\n{said}\n=end 1\n".encode())
    found = [finding.state for finding in smi_findings(answer, [CARD] * cards, (), ())]
    assert found == ([state] if state else [])


def test_only_failures_of_the_host_degrade_it() -> None:
    def report(*lines: str) -> tuple[str, str]:
        text = "\n".join(["fleet-probe 1", *lines, "=end 1"])
        seen = read_report("box", Result(0, text.encode()), 0.0, 0.0)
        return seen.state, seen.reason

    assert report() == ("up", "")
    assert report("=disk 4096 1000 50 0 0 xfs") == ("up", "")
    state, reason = report("=disk 4096 1000 10 0 0 xfs", "=smi busy")
    assert state == "degraded" and "nvidia-smi" in reason and "GiB free" in reason


def test_the_worst_of_a_host_leaves_its_runs_out() -> None:
    run = Finding("run.stalled", "warning", "x", run=LIVE_ID)
    host = Finding("host.disk", "warning", "x")
    assert (worst([]), worst([run]), worst([run, host])) == ("healthy", "healthy", "warning")
    assert worst([host, Finding("gpu.ecc", "failure", "x")]) == "failure"


@pytest.mark.parametrize(
    ("lines", "memory"),
    [
        (["=memory 1000 600"], Memory(1000 << 10, 600 << 10)),
        (["=memory 1000 600", f"=cgroup {500 << 10} {400 << 10} {100 << 10}"], Memory(500 << 10, 200 << 10)),
        (["=memory 1000 100", f"=cgroup {500 << 10} {400 << 10} 0"], Memory(500 << 10, 100 << 10)),
        (["=memory 1000 600", f"=cgroup {2000 << 10} 0 0"], Memory(1000 << 10, 600 << 10)),
        (["=memory x 600"], None),
    ],
)
def test_a_container_has_what_its_group_leaves_it(lines: list[str], memory: Memory | None) -> None:
    text = "\n".join(["fleet-probe 1", *lines, "=end 1"])
    assert read_report("box", Result(0, text.encode()), 0.0, 0.0).memory == memory
