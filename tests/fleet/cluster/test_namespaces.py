"""Two hosts with a network of their own: the real trainer, a link that flaps or dies, slow names, no route."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet import Fleet
from fleet.control.planning import TrainOptions
from tests.farm.namespaces import ETC, Namespaces
from tests.farm.processes import end_all
from tests.fleet.cluster.sites import ENDED, Site, fake_project, real_project
from tests.fleet.remote.hosts import wait_for

pytestmark = [pytest.mark.needs("sshd"), pytest.mark.needs("netns")]

#: Seconds until a run on two hosts is confirmed, and from a failure until nothing of it is left on any host.
LAUNCH, ALL_STOPPED = 10.0, 5.0
#: Factor on the first where other work shares the two cores, which import torch four times.
SLACK = 2
#: Seconds after which a silent host counts as gone, that its trainer then has to end, and that a link may be down.
SILENCE, GRACE, FLAP = 5.0, 2.0, 2.5
#: State of a connection in /proc/net/tcp.
ESTABLISHED = "01"
#: A model that takes milliseconds a step.
SETTINGS = {
    "training.steps": "100000",
    "training.batch": "4",
    "data.sequence": "32",
    "data.corpus": "{kind: synthetic, tokens: 20000, document: 90}",
    "model.width": "32",
    "model.blocks": "[{mixer: {kind: softmax, heads: 2}, mlp: {kind: swiglu}}]",
    "evaluation.every": "0",
    "evaluation.rows": "4",
    "evaluation.samples.every": "0",
    "evaluation.samples.tokens": "4",
    "checkpoint.every": "20",
}
ARGUMENTS = tuple(word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}"))


@pytest.fixture
def site(namespaces: Callable[..., Namespaces], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts with this project on them."""
    root = real_project(tmp_path_factory.mktemp("real"))
    site = Site(
        root, namespaces(2, fresh=True), ports=(29500, 29501), python=sys.executable, env={"OMP_NUM_THREADS": "1"}
    )
    site.fleet("deploy", "pair")
    site.fleet("setup", "pair")
    yield site
    site.clear()


def all_gone(site: Site, run: str, seconds: float = ALL_STOPPED) -> float:
    """Wait until nothing of a run but its supervisors lives on any host; returns how long that took."""
    began = time.monotonic()
    wait_for(lambda: not any(site.processes(run, node) for node in range(2)), "all to stop", seconds)
    return time.monotonic() - began


def test_a_killed_worker_stops_all_and_the_run_goes_on_from_its_checkpoint(site: Site) -> None:
    with Fleet.open(site.fleet.config) as fleet:
        options = TrainOptions(deploy=False, max_restarts=1, waits=(0.2,), arguments=ARGUMENTS)
        run = fleet.train("pair", options).only().run
    created = json.loads((site.run(run, 0).path / "launch.json").read_text())["created"]
    assert time.time() - created < LAUNCH * SLACK, "from the start of the supervisors until it is confirmed"
    site.wait_step(run, 25)
    end_all([site.rank(run, 1, 1)])
    all_gone(site, run)
    wait_for(lambda: "run.resumed" in dict(site.events(run)), "a resume", 60)
    resumed = dict(site.events(run))["run.resumed"]["step"]
    assert resumed >= 20 and resumed % 20 == 0
    for node in range(2):
        exit = dict(site.events(run, node))["run.restarted"]["exit"]
        assert (exit["culprit"]["node"], exit["culprit"]["rank"], exit["signal"]) == (1, 1, 9)
    shown = site.fleet("logs", "pair", "-n", "1000", "--run", run).out
    for name in ("h0", "h1"):
        assert f"{name}/- | fleet: rank 1 on h1 failed first: signal 9; starting again in 0 s" in shown
    site.wait_step(run, resumed + 5)
    began = len(site.events(run))
    site.fleet("stop", "pair")
    assert [state.state for state in site.states(run)] == ["stopped", "stopped"]
    kinds = [kind for kind, _ in site.events(run)[began:]]
    # Which rank was told first is chance; the others agree with it, and rank 0 records only what it was told itself.
    assert kinds.count("run.stopped") == 1 and kinds.count("signal.received") <= 1
    assert site.state(run, 0).last_verified_checkpoint is not None


@pytest.fixture(scope="module")
def fake(namespaces: Callable[..., Namespaces], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts whose ranks need no torch: networks fail alike below all trainers."""
    site = Site(fake_project(tmp_path_factory.mktemp("fake")), namespaces(2, fresh=True), ports=(29500, 29501))
    site.fleet("deploy", "pair")
    site.fleet("setup", "pair")
    yield site
    site.clear()


def test_a_link_may_flap_and_when_it_dies_both_sides_stop_and_say_why(fake: Site) -> None:
    assert isinstance(fake.farm, Namespaces)
    run = fake.train("--no-deploy", "--max-restarts", "0")["run"]
    fake.wait_step(run, 5)
    before = connections(fake, run)
    assert before
    fake.farm.link(1, up=False)
    time.sleep(FLAP)
    fake.farm.link(1, up=True)
    step = json.loads(fake.run(run, 0).progress.read_text())["step"]
    wait_for(lambda: connections(fake, run) - before, "another connection to the lead")
    fake.wait_step(run, step + 5)
    assert {state.state for state in fake.states(run, "running", *ENDED)} == {"running"}
    fake.farm.link(1, up=False)
    try:
        all_gone(fake, run, SILENCE + GRACE + 1)
        ended = time.monotonic()
        near, far = fake.states(run)
        assert time.monotonic() - ended < 1.5, "nobody waits for the last word of a host that is gone"
    finally:
        fake.farm.link(1, up=True)
    for state, kind, words in ((near, "NodeLost", "h1 was silent"), (far, "LeadLost", "the lead on h0 was silent")):
        assert state.state == "failed" and state.exit is not None and state.exit.kind == kind
        assert state.exit.culprit is not None and words in state.exit.culprit.message


def test_a_host_without_a_way_to_the_master_is_blocked(fake: Site) -> None:
    """The last test of these hosts: it leaves the route as it is."""
    assert isinstance(fake.farm, Namespaces)
    master = fake.hosts[0].address
    _ip("-n", fake.farm.namespace(1), "route", "add", "unreachable", f"{master}/32")
    began = time.monotonic()
    checks = fake.fleet("doctor", "pair", "--quick", "--json", expect=11).data["checks"]
    assert time.monotonic() - began < 15
    [row] = [check for check in checks if check["id"] == "group.network"]
    assert row["host"] == "h1" and row["status"] == "fail" and f"does not reach {master} port 2950" in row["evidence"]


@pytest.fixture(scope="module")
def lame(namespaces: Callable[..., Namespaces], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two hosts that nobody has names for, and whose resolver does not answer."""
    farm = namespaces(2, fresh=True, silent_resolver=True)
    for node in range(2):
        folder = ETC / farm.namespace(node)
        # In place: a host that runs sees the very file.
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        with (folder / "resolv.conf").open("a") as file:
            file.write("options timeout:1 attempts:2\n")
    return Site(fake_project(tmp_path_factory.mktemp("lame")), farm, ports=(29500, 29501))


def test_a_resolver_that_does_not_answer_is_warned_of(lame: Site) -> None:
    checks = lame.fleet("doctor", "pair", "--quick", "--json", expect=None).data["checks"]
    rows = [check for check in checks if check["id"] == "group.network"]
    assert [(row["host"], row["status"]) for row in rows] == [("h0", "warn"), ("h1", "warn")]
    assert all("looking up h" in row["evidence"] and "rendezvous may stall" in row["evidence"] for row in rows)


def connections(site: Site, run: str) -> set[str]:
    """The ports from which the supervisor of the second host is connected with the lead."""
    lead = f"{site.ports['lead_port']:04X}"
    supervisor = site.state(run, 1, "running").supervisor
    assert supervisor is not None
    rows = [line.split() for line in Path(f"/proc/{supervisor.pid}/net/tcp").read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[2].endswith(f":{lead}") and row[3] == ESTABLISHED}


def _ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True)
