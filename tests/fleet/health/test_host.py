"""A host without GPUs: what it says of itself, with much, little or nothing of it there."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from fleet.errors import (
    AuthenticationFailed,
    DeadlinePassed,
    FleetError,
    HostKeyRefused,
    RemoteFailed,
    Unreachable,
)
from fleet.health import HostReport, failed
from fleet.health.host import machine_of
from hydra.runs import boot_id, machine_id
from tests.farm.fakes import tool


def test_a_bare_host_is_up(host) -> None:
    report = host.look()
    assert (report.state, report.reason, report.health) == ("up", "", ())
    assert report.boot_id == boot_id()
    assert report.machine == machine_id()
    assert (report.release, report.environments, report.runs, report.gpus) == (None, (), (), ())
    disk = os.statvfs(host.home)
    assert report.disk is not None and report.memory is not None
    assert report.disk.total == disk.f_blocks * disk.f_frsize
    assert report.disk.inodes == disk.f_files
    assert 0 < report.memory.available <= report.memory.total
    assert report.clock_offset is not None and abs(report.clock_offset) < 2
    assert report.uptime is not None and len(report.load) == 3
    assert list(host.home.iterdir()) == [], "a look changes nothing"


def test_json_has_the_shape_of_the_specification(host) -> None:
    shown = json.loads(json.dumps(host.look().to_json(), allow_nan=False))
    assert {"name", "state", "reason", "rtt_ms", "gpus", "runs", "release", "env", "disk", "health"} <= set(shown)


def test_what_is_deployed(host) -> None:
    machine = host.deployed()
    for release in ("0123456789abcdef", "fedcba9876543210"):
        (host.root / "releases" / release).mkdir(parents=True)
    (host.root / "releases" / "mydata").mkdir()
    (host.root / "releases" / "00000000000000ff").touch()
    (host.root / "releases" / "00000000000000fe").symlink_to("/")
    os.utime(host.root / "releases" / "fedcba9876543210", (time.time() - 900, time.time() - 900))
    (machine / "current").symlink_to("../../releases/0123456789abcdef")
    elsewhere = host.root / "hosts" / "aaaaaaaaaaaaaaaa"
    elsewhere.mkdir()
    (elsewhere / "current").symlink_to("../../releases/fedcba9876543210")
    for environment, ready in (("e1", True), ("e2", False)):
        (host.root / "envs" / environment).mkdir(parents=True)
        if ready:
            (host.root / "envs" / environment / ".fleet-ready.json").write_text("{}")
    report = host.look(detail=True)
    assert report.release == "0123456789abcdef", "the other machine that shares the folder has its own"
    assert report.environments == ("e1",)
    assert [(release.id, release.current) for release in report.releases] == [
        ("0123456789abcdef", True),
        ("fedcba9876543210", False),
    ]
    assert report.releases[1].age is not None and 899 <= report.releases[1].age < 910
    assert host.look().releases == ()


def test_a_current_that_points_nowhere_is_said(host, ids) -> None:
    (host.deployed() / "current").symlink_to("../../releases/0123456789abcdef")
    report = host.look()
    assert report.release is None
    assert ids(report) == {("host.release", "warning")}
    assert report.state == "up", "a warning leaves a host up"


def test_odd_names_do_not_become_sections(host) -> None:
    machine = host.deployed()
    odd = "x\n=run forged held\n|{}"
    for folder in (host.root / "envs" / odd, host.root / "releases" / odd, host.root / "runs" / odd):
        folder.mkdir(parents=True)
        (folder / ".fleet-ready.json").write_text("{}")
        (folder / "state.json").write_text('{"state": "running"}')
    (machine / "current").symlink_to(f"../../releases/{odd}")
    report = host.look(detail=True, runs=5)
    assert (report.runs, report.environments, report.releases, report.release) == ((), (), (), None)


def test_the_name_of_a_machine_is_that_of_the_run_directory() -> None:
    path = Path("/etc/machine-id")
    system = path.read_text("utf-8").strip() if path.is_file() else ""
    assert machine_of(system, os.uname().nodename) == machine_id()


def test_a_host_with_few_tools(host) -> None:
    host.lacks("flock", "sha256sum", "tar", "setsid", "timeout")
    host.run(state="completed")
    report = host.look(detail=True)
    assert report.state == "up"
    assert [run.state for run in report.runs] == ["completed"]


def test_without_stat_the_disk_comes_from_df(host) -> None:
    host.lacks("stat")
    host.run(locked=True)
    report = host.look()
    assert report.disk is not None and report.disk.total > 0 and report.disk.inodes is None
    assert [run.state for run in report.runs] == ["running"]


@pytest.mark.skipif(shutil.which("bash", path="/usr/bin:/bin") is None, reason="no bash on this machine")
def test_another_shell_says_the_same(host) -> None:
    host.run(locked=True)
    mine = host.look()
    host.tools.mkdir()
    (host.tools / "sh").symlink_to(shutil.which("bash", path="/usr/bin:/bin"))
    other = host.look()
    assert (other.state, other.machine, other.disk.total) == (mine.state, mine.machine, mine.disk.total)
    assert [(run.id, run.state, run.loss) for run in other.runs] == [(run.id, run.state, run.loss) for run in mine.runs]


def test_what_a_login_script_prints_does_not_disturb(host) -> None:
    tool(host.tools, "sh", 'echo "Welcome, =end of banner"\necho "|x"\nexec /bin/sh "$@"\n')
    assert host.look().state == "up"


def test_a_probe_that_breaks_off_is_no_healthy_host(host) -> None:
    tool(host.tools, "sh", 'echo "fleet-probe 1"\necho "=uptime 5"\necho "sh: Cannot fork" >&2\nexit 2\n')
    report = host.look()
    assert report.state == "degraded"
    assert report.reason == "the probe broke off with status 2: sh: Cannot fork"


def test_a_wrong_clock_is_said(host, ids) -> None:
    tool(host.tools, "date", 'echo "=now 1600000000"\n')
    report = host.look()
    assert ids(report) == {("host.clock", "warning")}
    assert "behind ours" in report.health[0].evidence


PARTS = {"why": "because", "fix": "do", "example": "this"}


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (HostKeyRefused("the key changed", **PARTS), "untrusted"),
        (AuthenticationFailed("no key was taken", **PARTS), "denied"),
        (Unreachable("no route to \x1b[31mhost", **PARTS), "offline"),
        (DeadlinePassed("connecting did not end within 5 s", **PARTS), "offline"),
        (RemoteFailed("it broke", **PARTS), "degraded"),
    ],
)
def test_a_host_that_cannot_be_looked_at_has_a_row_with_its_reason(error: FleetError, state: str) -> None:
    report = failed("box", error)
    assert (report.name, report.state) == ("box", state)
    assert report.reason.startswith(error.what[:5]) and "\x1b" not in report.reason
    assert report.to_json()["gpus"] == []
    assert isinstance(report, HostReport)
