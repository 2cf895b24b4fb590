"""Every exit code of the table, produced by what it stands for. Codes 130 and 141 are in test_interrupted.py."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys

import pytest

from tests.fleet.cli.site import CHANGED, DENIED, HUNG, OFFLINE, UNKNOWN, Site
from tests.fleet.commands import ROOT

#: A command in which something goes wrong that nobody expected.
BROKEN = """
import sys
from fleet.cli import main, status
def broken(*_, **__): raise ZeroDivisionError("never expected")
status.status = broken
main(sys.argv[1:])
"""


def test_0_done(site: Site) -> None:
    assert site.fleet("status", "h0", "--json").json["ok"]


def test_1_a_bug_is_one_line_and_a_trace_with_vv(site: Site) -> None:
    def broken(*options: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", BROKEN, "--config", str(site.config), "status", "h0", *options]
        return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)

    short, long = broken("--json"), broken("-v", "-v")
    assert (short.returncode, long.returncode) == (1, 1)
    assert '"code": 1, "kind": "bug"' in short.stdout
    assert "Traceback" not in short.stderr and "ZeroDivisionError: never expected" in short.stderr
    assert "Traceback" in long.stderr


@pytest.mark.parametrize(
    ("name", "code", "kind", "state"),
    [
        (OFFLINE, 3, "unreachable", "offline"),
        (UNKNOWN, 4, "host-key", "untrusted"),
        (CHANGED, 4, "host-key", "untrusted"),
        (DENIED, 5, "authentication", "denied"),
    ],
)
def test_3_4_5_hosts_that_cannot_be_talked_to(site: Site, name: str, code: int, kind: str, state: str) -> None:
    done = site.fleet("status", name, "--json", expect=code)
    [row] = done.data["hosts"]
    [error] = done.json["errors"]
    assert row["state"] == state and row["reason"]
    assert (error["host"], error["code"], error["kind"]) == (name, code, kind) and error["hint"]
    # On one host, what `run` itself cannot do is 255; the code of the table is in the JSON.
    ran = site.fleet("run", name, "--json", "--", "true", expect=255)
    assert [error["code"] for error in ran.json["errors"]] == [code]
    assert site.fleet("deploy", name, expect=code).out == ""


def test_6_a_deploy_is_under_way(site: Site) -> None:
    [machine] = (site.deploy_dir / "hosts").iterdir()
    with (machine / "locks" / "deploy").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (site.root / "extra.txt").write_text("one more file")
        done = site.fleet("deploy", "h0", "--json", expect=6)
    (site.root / "extra.txt").unlink()
    assert done.json["errors"][0]["kind"] == "busy"


def test_6_a_run_is_live(site: Site, live: str) -> None:
    for done in (site.start("h0", "second", expect=6), site.fleet("resume", "h0", "--run", live, "--json", expect=6)):
        assert live in done.json["errors"][0]["message"]


def test_7_some_succeeded_and_some_did_not(site: Site) -> None:
    done = site.fleet("deploy", f"{OFFLINE},h0,{DENIED}", "--json", expect=7)
    assert list(done.data) == ["h0"]
    assert [(error["host"], error["code"]) for error in done.json["errors"]] == [(OFFLINE, 3), (DENIED, 5)]
    assert site.fleet("status", f"h0,{OFFLINE}", expect=7).out.count("offline") == 2
    assert site.fleet("run", f"h0,{OFFLINE}", "--", "true", expect=7)


def test_7_all_failed_but_not_alike_is_7_and_alike_is_their_code(site: Site) -> None:
    assert site.fleet("deploy", f"{OFFLINE},{DENIED}", expect=7)
    assert site.fleet("deploy", f"{UNKNOWN},{CHANGED}", expect=4)


def test_8_a_run_dies_at_once(site: Site) -> None:
    done = site.start("h0", "dies", "die=2 say=last-words", expect=8)
    [error] = done.json["errors"]
    assert "last-words" in error["message"] and "exit 2" in error["message"]
    run = site.newest()
    assert run in error["message"]
    assert site.fleet("logs", "h0", "-f", "--run", run, expect=8)
    assert site.fleet("events", "h0", "-f", "--run", run, expect=8)


def test_8_commands_that_fail_on_several_hosts(site: Site) -> None:
    done = site.fleet("run", "h0,h1", "--json", "--", "sh", "-c", "exit 4", expect=8)
    assert {name: row["rc"] for name, row in done.data.items()} == {"h0": 4, "h1": 4}
    assert not done.json["ok"]


def test_the_status_of_a_command_on_one_host_is_its_own(site: Site) -> None:
    site.fleet("run", "h0", "--", "sh", "-c", "exit 37", expect=37)
    site.fleet("run", "h0", "--", "sh", "-c", "kill -9 $$", expect=128 + 9)


def test_9_no_such_run_or_release(site: Site) -> None:
    for command in (["logs", "h0", "--run", "nothing"], ["stop", "h0", "--run", "nothing"], ["logs", "h1"]):
        site.fleet(*command, expect=9)
    done = site.fleet("download", "h0", "--run", "nothing", "--json", expect=9)
    assert site.done in done.json["errors"][0]["message"]
    site.fleet("rollback", "h0", "--to", "0123456789abcdef", expect=9)
    site.fleet("resume", "h1", expect=9)


def test_10_a_release_that_no_longer_verifies(site: Site) -> None:
    [current] = [
        row["release"] for row in site.fleet("rollback", "h0", "--list", "--json").data["h0"] if row["current"]
    ]
    (site.root / "extra.txt").write_text("another release")
    other = site.fleet("deploy", "h0", "--json").data["h0"]["release"]
    (site.root / "extra.txt").unlink()
    site.fleet("rollback", "h0", "--to", current)
    damaged = site.deploy_dir / "releases" / other / "extra.txt"
    damaged.chmod(0o644)
    damaged.write_text("somebody wrote here")
    site.fleet("rollback", "h0", "--to", other, expect=10)
    assert (damaged.parents[2] / "hosts").exists()
    assert site.fleet("status", "h0", "--json").data["hosts"][0]["release"] == current
    shutil.rmtree(site.deploy_dir / "releases" / other)


def test_10_a_checkpoint_that_does_not_verify(site: Site) -> None:
    run = site.train("torn", "torn fail=3", steps=30)
    site.fleet("resume", "h0", "--run", run, "--step", "30", "--json", expect=10)
    # Without a step the newest one that verifies is taken.
    assert site.fleet("resume", "h0", "--run", run, "--dry-run", "--json").data["h0"]["resumed_from"] == 20
    site.remove(run)


def test_11_health_forbids_to_start(site: Site) -> None:
    site.fleet("doctor", "h2", "--quick", expect=11)
    done = site.start("h2", "sick", expect=11)
    [error] = done.json["errors"]
    assert error["kind"] == "blocked" and "nvidia-smi" in error["message"]


def test_12_a_stop_without_proof(site: Site) -> None:
    run = site.train("deaf", "deaf pause=0.02", steps=100000, wait=False)
    done = site.fleet("stop", "h0", "--run", run, "--grace", "0.5", "--json", expect=12)
    [row] = done.data["h0"]
    assert (row["state"], row["proven"], row["survivors"], row["checkpoint"]) == ("stopped", False, [], None)
    assert "no checkpoint" in done.json["errors"][0]["message"]


def test_13_time_is_over(site: Site) -> None:
    site.proxy.hole(True)
    try:
        done = site.fleet("status", HUNG, "--timeout", "0.7", "--json", expect=13)
    finally:
        site.proxy.hole(False)
        site.proxy.reset_all()
    assert done.json["errors"][0]["kind"] == "deadline"
    ran = site.fleet("run", "h0", "--timeout", "0.7", "--json", "--", "sleep", "1.5", expect=255)
    assert ran.json["errors"][0]["code"] == 13
