"""Target 16: launch of one run on several hosts, and from the death of a worker until nothing of the run is left.

    python -m tests.perf.fleet_group --count 20

Hosts are network namespaces of this machine, so this needs root. `real` is the real trainer on two of them, with gloo
on the CPU, and its processes share the processors of this machine; `nodes` are `--hosts` of them with ranks that need
no torch, for what fleet itself takes: ranks that wait for a dead peer for ever and take no TERM, as in a collective of
a GPU. A launch is timed from the first supervisor, after preflight, to the answer of `fleet train`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fleet import Fleet
from fleet.control.planning import TrainOptions
from tests.farm.namespaces import Namespaces, missing_namespaces
from tests.farm.processes import Process
from tests.fleet.cluster.sites import Site, fake_project, real_project
from tests.perf.host_runs import eventually
from tests.perf.measuring import Sheet, Target, begin, parser
from tests.perf.programs import scratch

LAUNCH, STOPPED = 10.0, 5.0
#: A model that takes milliseconds a step.
SETTINGS = {
    "training.steps": "1000000",
    "training.batch": "4",
    "data.sequence": "32",
    "data.corpus": "{kind: synthetic, tokens: 20000, document: 90}",
    "model.width": "32",
    "model.blocks": "[{mixer: {kind: softmax, heads: 2}, mlp: {kind: swiglu}}]",
    "evaluation.every": "0",
    "evaluation.samples.every": "0",
    "checkpoint.every": "50",
}


def measure(sheet: Sheet, what: str, site: Site, count: int, arguments: tuple[str, ...] = ()) -> None:
    """Launch, kill the last rank, and see what is left and who is blamed, `count` times."""
    launches, stops, wrong = [], [], 0
    last = len(site.hosts) - 1
    site.fleet("deploy", "pair")
    site.fleet("setup", "pair")
    for _ in range(count):
        with Fleet.open(site.fleet.config) as fleet:
            options = TrainOptions(deploy=False, max_restarts=0, arguments=arguments)
            run = fleet.train("pair", options).only().run
        launches.append(time.time() - min(created(site, run, node) for node in range(last + 1)))
        site.wait_step(run, 5)
        victim = site.rank(run, last, last)
        began = time.perf_counter()
        victim.end()
        # By pid and not by a search for each look: that would take longer than what is measured.
        left = [one for node in range(last + 1) for one in site.processes(run, node)]
        assert eventually(partial(gone, left), 60), "the run does not end"
        stops.append(time.perf_counter() - began)
        states = site.states(run)
        blamed = [state.exit.culprit for state in states if state.exit is not None and state.exit.culprit is not None]
        named = [(one.node, one.rank, f"on {site.hosts[last].name}" in one.message) for one in blamed]
        wrong += named != [(last, last, True)] * len(states)
        assert not any(site.processes(run, node) for node in range(last + 1)), "something was left"
    sheet.series(f"{what}: launch after preflight", launches, "s", Target("p95", at_most=LAUNCH))
    sheet.series(f"{what}: from the death of a worker until all is stopped", stops, "s", Target("p95", at_most=STOPPED))
    sheet.count(f"{what}: runs whose culprit is not named on every node", wrong, count, at_most=0)


def created(site: Site, run: str, node: int) -> float:
    """When the supervisor of a node began, Unix seconds; all hosts share this machine's clock."""
    told = json.loads((site.run(run, node).path / "launch.json").read_text())
    return float(told["created"])


def gone(processes: list[Process]) -> bool:
    """Whether none of them runs any more."""
    return not any(one.alive() for one in processes)


def measure_real(sheet: Sheet, folder: Path, count: int, hosts: int) -> None:
    """The real trainer on two hosts."""
    (folder / "project").mkdir()
    with Namespaces(folder / "farm", 2) as farm:
        environment = {"OMP_NUM_THREADS": "1"}
        site = Site(
            real_project(folder / "project"), farm, ports=(29500, 29501), python=sys.executable, env=environment
        )
        arguments = tuple(word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}"))
        measure(sheet, "real trainer, 2 nodes", site, count, arguments)


def measure_nodes(sheet: Sheet, folder: Path, count: int, hosts: int) -> None:
    """Ranks without torch, which hang when a peer dies, on many hosts."""
    (folder / "project").mkdir()
    with Namespaces(folder / "farm", hosts) as farm:
        python = os.path.realpath(sys.executable)
        site = Site(fake_project(folder / "project", "--hang"), farm, ports=(29500, 29501), python=python)
        measure(sheet, f"ranks that hang, {hosts} nodes", site, count)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    description = parser(__doc__, 20)
    parts = {"real": measure_real, "nodes": measure_nodes}
    description.add_argument("--only", choices=parts, help="one part")
    description.add_argument("--hosts", type=int, default=8, metavar="N", help="nodes of the second part (8)")
    options = description.parse_args(arguments)
    begin(options.seed)
    if reason := missing_namespaces():
        sys.exit(reason)
    sheet = Sheet("Groups", options.slack)
    for name, part in parts.items():
        if options.only in (None, name):
            with scratch() as folder:
                part(sheet, folder, options.count, options.hosts)
    return sheet.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
