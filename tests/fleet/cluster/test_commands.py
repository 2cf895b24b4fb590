"""`fleet` and a group over real OpenSSH: one start, one stop, one resume, and what keeps a host from taking part."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.farm.processes import end_all
from tests.farm.sshd import Farm
from tests.fleet.cluster.sites import Site, fake_project
from tests.fleet.remote.hosts import wait_for

pytestmark = pytest.mark.needs("sshd")


@pytest.fixture(scope="module")
def deployed(farm: Callable[..., Farm], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two hosts with the project on them."""
    site = Site(fake_project(tmp_path_factory.mktemp("pair")), farm(2, fresh=True))
    site.fleet("deploy", "pair")
    site.fleet("setup", "pair")
    return site


@pytest.fixture
def site(deployed: Site) -> Iterator[Site]:
    """The same, with nothing left of it on the hosts after a test."""
    yield deployed
    deployed.configured()
    deployed.clear()


@contextlib.contextmanager
def other_release(site: Site, target: str) -> Iterator[None]:
    """While this lasts, hosts have another release than the rest, or than before."""
    (site.root / "notes.txt").write_text("another release\n")
    try:
        site.fleet("deploy", target)
        yield
    finally:
        (site.root / "notes.txt").unlink()
        site.fleet("deploy", "pair")


def test_one_stop_saves_once_and_resumes_go_on_from_there(site: Site) -> None:
    started = site.train("--no-deploy")
    run = started["run"]
    assert started["hosts"] == ["h0", "h1"] and started["state"] == "running"
    site.wait_step(run, 12)
    [held] = site.train("--no-deploy", expect=6)["errors"]
    assert held["host"] == "h0" and f"h0 is in run {run}, which is running" in held["message"]
    stopped = site.fleet("stop", "pair", "--json").data
    step = stopped["h0"][0]["checkpoint"]["step"]
    assert [state.state for state in site.states(run)] == ["stopped", "stopped"]
    assert [kind for kind, _ in site.events(run)].count("run.stopped") == 1 and step == site.state(run, 0).last_step

    site.configured(members=["h1", "h0"], master="h1")
    other = site.fleet("resume", "pair", "--run", run, expect=2)
    assert "was started on h0, h1, and pair is h1, h0" in other.err
    site.configured()
    # As after the death of the first host in the wait before a restart that the others had begun already.
    file = site.run(run, 1).state
    file.write_text(json.dumps({**json.loads(file.read_text()), "attempt": 2}))
    # An old copy counts for nothing: rank 0 reads checkpoints for all.
    shutil.copytree(site.run(run, 0).checkpoints / "step-10", site.run(run, 1).checkpoints / "step-10")
    began_with = {state.release for state in site.states(run)}
    with other_release(site, "pair"):
        resumed = site.fleet("resume", "pair", "--json").data["pair"]
    assert {state.release for state in site.states(run, "running")} == began_with == {resumed["release"]}
    assert (resumed["run"], resumed["attempt"], resumed["resumed_from"]) == (run, 3, step)
    site.wait_step(run, step + 3)
    assert ("run.resumed", {"step": step}) in site.events(run)
    assert [state.attempt for state in site.states(run, "running")] == [3, 3]
    assert len(list(site.run(run, 1).checkpoints.iterdir())) == 1, "the hosts share no disk"
    shutil.rmtree(site.run(run, 1).checkpoints / "step-10")

    assert "it had nothing to save" in site.fleet("stop", "h1").out
    assert [state.state for state in site.states(run)] == ["stopped", "stopped"]
    assert site.state(run, 0).last_verified_checkpoint is not None
    alone = site.fleet("resume", "h0", "--run", run, expect=2)
    assert "was started on several hosts" in alone.err and f"fleet resume pair --run {run}" in alone.err
    planned = site.fleet("resume", "pair", "--step", str(step), "--dry-run", "--json").data
    assert {(row["attempt"], row["resumed_from"]) for row in planned.values()} == {(4, step)}
    exact = site.fleet("resume", "pair", "--step", str(step), "--json").data["pair"]
    assert exact["resumed_from"] == step
    resumes = [step, step]
    wait_for(lambda: [data["step"] for kind, data in site.events(run) if kind == "run.resumed"] == resumes, "it")
    site.fleet("stop", "pair")


def test_the_culprit_is_in_runs_and_at_the_end_of_the_log(site: Site) -> None:
    run = site.train("--no-deploy", "--max-restarts", "0")["run"]
    site.wait_step(run, 3)
    follower = site.fleet.process("logs", "pair", "-f", "--run", run)
    assert follower.stdout is not None
    first = follower.stdout.readline()
    end_all([site.rank(run, 1, 1)])
    out, err = follower.communicate(timeout=30)
    out = first + out
    assert follower.returncode == 8
    assert "h1/1 | rank 1 begins at step 0" in out
    assert "h0/- | fleet: rank 1 on h1 failed first: signal 9; not restarted: restarts are turned off" in out
    for host in ("h0", "h1"):
        [end] = [line for line in err.splitlines() if line.startswith(f"{host}: the run ended: killed")]
        assert "signal 9" in end and "rank 1: " in end and "on h1: signal 9" in end
    rows = [row for row in site.fleet("runs", "pair", "--json").data["runs"] if row["id"] == run]
    assert {
        (row["host"], row["state"], row["exit"]["culprit"]["node"], row["exit"]["culprit"]["rank"]) for row in rows
    } == {
        ("h0", "killed", 1, 1),
        ("h1", "killed", 1, 1),
    }


@pytest.mark.parametrize("busy", [0, 1])
def test_a_host_that_refuses_ends_the_waiting_of_the_others_at_once(site: Site, busy: int) -> None:
    holder = site.fleet("train", f"h{busy}", "--no-deploy", "--name", "holder", "--json", expect=None)
    before = set(site.runs(1 - busy))
    began = time.monotonic()
    failed = site.train("--no-deploy", expect=6)
    assert time.monotonic() - began < 15, "nobody waits for a minute"
    assert failed["errors"][0]["host"] == f"h{busy}" and "is held by holder-" in failed["errors"][0]["message"], holder
    for run in set(site.runs(1 - busy)) - before:
        assert site.state(run, 1 - busy).state == "stopped" and not site.processes(run, 1 - busy)
    assert site.fleet("stop", "pair", "--json").data == {"h0": [], "h1": []}, "the holder is no run of the group"
    assert len(site.fleet("stop", f"h{busy}", "--json").data[f"h{busy}"]) == 1


def test_one_connection_at_a_time_is_enough(site: Site) -> None:
    """The starts wait for each other, whatever --jobs says."""
    run = site.train("--no-deploy", "--jobs", "1")["run"]
    site.fleet("stop", "pair")
    assert [state.state for state in site.states(run)] == ["stopped", "stopped"]


@pytest.mark.parametrize("port", ["master_port", "lead_port"])
def test_a_port_that_is_taken_blocks_and_is_named(site: Site, port: str) -> None:
    taken = site.ports[port]
    with socket.create_server((site.hosts[0].address, taken)):
        failed = site.train("--no-deploy", expect=11)
        assert failed["errors"][0]["host"] == "h0" and f"port {taken} is not free" in failed["errors"][0]["message"]
        checked = site.fleet("doctor", "pair", "--quick", "--json", expect=11)
    rows = [check for check in checked.data["checks"] if check["id"] == "group.network"]
    assert [(row["host"], row["status"]) for row in rows] == [("h0", "fail")] and str(taken) in rows[0]["evidence"]


def test_the_network_of_a_healthy_group(site: Site) -> None:
    assert '"h0" is no group' in site.fleet("doctor", "--group", "h0", expect=2).err
    began = time.monotonic()
    checked = site.fleet("doctor", "h0", "--group", "pair", "--quick", "--json", expect=None)
    assert time.monotonic() - began < 8, "the test of the ports ends when all have come"
    rows = [check for check in checked.data["checks"] if check["id"] == "group.network"]
    assert [(row["host"], row["status"]) for row in rows] == [("h0", "ok"), ("h1", "ok")], rows
    assert f"{site.hosts[1].address} on lo" in rows[1]["evidence"]
    [alike] = [check for check in checked.data["checks"] if check["id"] == "group.alike"]
    assert (alike["status"], alike["evidence"]) == ("ok", "the same release, torch, GPUs on all members")


def test_members_that_differ_are_told_apart(site: Site) -> None:
    before = site.runs(1)
    with other_release(site, "h1"):
        checked = site.fleet("doctor", "pair", "--quick", "--json", expect=11)
        failed = site.train("--no-deploy", expect=11)
    [alike] = [check for check in checked.data["checks"] if check["id"] == "group.alike"]
    assert alike["status"] == "fail" and "the hosts of pair differ in release: h0 " in alike["evidence"]
    assert "fleet deploy pair" in alike["fix"], "another environment would not change that"
    [error] = failed["errors"]
    assert "the hosts of pair differ in release: h0 " in error["message"] and site.runs(1) == before


def test_a_folder_that_two_hosts_share_is_named(site: Site) -> None:
    shared = str(site.hosts[0].home / "fleet" / "hydra")
    site.configured(instances={"h1": {"deploy_dir": shared}})
    rows = site.fleet("doctor", "pair", "--quick", "--json", expect=11).data["checks"]
    [row] = [check for check in rows if check["id"] == "group.network"]
    assert row["status"] == "fail" and "of pair share the folder" in row["evidence"]
    assert not list((site.hosts[0].home / "fleet" / "hydra").glob(".group-*"))


def test_a_host_that_cannot_be_reached_is_named_and_nothing_starts(site: Site) -> None:
    before = site.runs(0)
    site.farm.stop_host(1)
    try:
        failed = site.train("--no-deploy", expect=3)
    finally:
        site.farm.restart_host(1)
    assert failed["errors"][0]["host"] == "h1" and site.runs(0) == before
