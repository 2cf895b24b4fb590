"""Target 8: the status of 100 hosts, cold as a process and warm over open connections, with and without a dead one.

    python -m tests.perf.fleet_status --count 20

Beside it: OpenSSH asked of all hosts, 32 at once. For the dead host, a proxy swallows everything; what counts is when
the last of the other hosts has answered.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fleet.control.session import Session
from fleet.control.status import status
from fleet.health import probe
from fleet.ssh import Deadline, fan_out
from tests.farm.hosts import FarmHost
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.perf.measuring import Sheet, Target, begin, interleaved, parser, seconds
from tests.perf.programs import answer, fleet, needed, scratch
from tests.perf.sessions import opened

HOSTS = 100
AT_ONCE = 32
#: Seconds that the status beside a dead host may take.
LIMIT = 10
#: All hosts up is 0; hosts that answer but are short of something make it 7.
ANSWERED = (0, 7)


def with_ssh(hosts: Sequence[FarmHost]) -> None:
    """One trivial command on every host with OpenSSH."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda host: host.ssh("uptime", timeout=60).returncode, hosts))
    assert not any(results), results


def with_fleet(project: Path, expected: int) -> None:
    """`fleet status` as a process; every host must have a row."""
    rows = answer(fleet("status", "--all", "--json", cwd=project, expect=ANSWERED))["hosts"]
    answered = [row for row in rows if row["state"] in ("up", "degraded")]
    assert len(rows) == len(answered) == expected, [row for row in rows if row not in answered]


def measure_all(sheet: Sheet, folder: Path, farm: Farm, count: int) -> None:
    """Cold, warm, and the other way."""
    project = folder / "project"
    project.mkdir()
    farm.fleet_json(project)
    names = [host.name for host in farm.hosts]
    actions = {"cold": lambda: with_fleet(project, len(names)), "ssh": lambda: with_ssh(farm.hosts)}
    times = {name: [taken / 1e3 for taken in values] for name, values in interleaved(actions, count).items()}
    sheet.series(f"status of {len(names)} hosts, process", times["cold"], "s", Target("p50", at_most=1.5))
    sheet.series(f"ssh to {len(names)} hosts, {AT_ONCE} at once", times["ssh"], "s")
    with opened(project) as session:
        status(session, names)
        warm = [seconds(lambda: status(session, names)) for _ in range(count)]
    sheet.series(f"status of {len(names)} hosts, open connections", warm, "s", Target("p50", at_most=0.5))


def others_done(session: Session, names: Sequence[str], dead: str | None) -> float:
    """Seconds until the last host but the dead one has answered; all connections are opened on the way."""
    deadline = Deadline.after(30)
    started, last, good = time.perf_counter(), 0.0, 0

    def look(name: str) -> object:
        return probe(session.transport(name, deadline), session.instance(name).deploy_dir, deadline=deadline)

    for outcome in fan_out(names, look, jobs=AT_ONCE, deadline=deadline):
        if outcome.name != dead:
            assert outcome.error is None, outcome.error
            last, good = time.perf_counter() - started, good + 1
            if good == len(names) - (dead is not None):
                break
    return last


def measure_dead(sheet: Sheet, folder: Path, farm: Farm, count: int) -> None:
    """The same with one host in a black hole, and without it."""
    first, others = farm.hosts[0], [host.name for host in farm.hosts[1:]]
    with Proxy(first.address, first.port) as proxy:
        project = folder / "dead"
        project.mkdir()
        farm.fleet_json(project, hosts=[farm.through(0, proxy), *farm.hosts[1:]])
        proxy.hole(True)
        alone, beside = [], []
        for _ in range(count):
            with opened(project) as session:
                alone.append(others_done(session, others, None))
            with opened(project) as session:
                beside.append(others_done(session, [first.name, *others], first.name))
            proxy.reset_all()
        limited = ("--timeout", str(LIMIT), "status", "--all", "--json")
        whole = seconds(lambda: fleet(*limited, cwd=project, expect=(7,)))
    sheet.series(f"{len(others)} hosts", alone, "s")
    sheet.series(f"the same {len(others)} beside one that is dead", beside, "s")
    # One worker of 32 is lost to the dead host, which is three hundredths; the rest is the noise of the machine.
    sheet.ratio("beside a dead host / without it", beside, alone, Target("value", at_most=1.15))
    text = f"the whole process with a dead host and --timeout {LIMIT}"
    sheet.number(text, whole, "s", Target("value", at_most=LIMIT + 2))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    description = parser(__doc__, 20)
    description.add_argument("--hosts", type=int, default=HOSTS, metavar="N", help="hosts of the farm")
    options = description.parse_args(arguments)
    needed("ssh")
    begin(options.seed)
    sheet = Sheet(f"Status of {options.hosts} hosts", options.slack)
    with scratch() as folder, Farm(folder / "farm", options.hosts) as farm:
        measure_all(sheet, folder, farm, options.count)
        measure_dead(sheet, folder, farm, options.count)
    return sheet.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
