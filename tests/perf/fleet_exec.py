"""Targets 1 and 9: what a command costs on an open connection, and how soon a dead peer is noticed.

    python -m tests.perf.fleet_exec --count 40

`echo` over an open connection, beside OpenSSH through a control master and OpenSSH from the start. Then commands whose
connection falls into a black hole: each must end within 10 s, and no thread may stay.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from fleet.errors import Unreachable
from fleet.ssh import Cmd, Deadline, Output
from tests.farm.hosts import FarmHost
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.perf.measuring import Sheet, Target, begin, interleaved, parser, seconds
from tests.perf.programs import needed, run, scratch
from tests.perf.sessions import opened

HOLES = 5
"""Dead peers in a full measurement: each takes seconds."""


@contextmanager
def control_master(host: FarmHost, path: Path) -> Iterator[None]:
    """An OpenSSH connection that others share through a socket."""
    options = ("-N", "-o", "ControlMaster=yes", "-o", f"ControlPath={path}")
    master = subprocess.Popen([*host.ssh_command(*options), host.address])
    try:
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        master.terminate()
        master.wait()


def measure_exec(sheet: Sheet, folder: Path, farm: Farm, count: int) -> None:
    """`echo`, three ways."""
    host = farm.hosts[0]
    project = folder / "project"
    project.mkdir()
    farm.fleet_json(project)
    control = f"ControlPath={folder}/c"
    with control_master(host, folder / "c"), opened(project) as session:
        transport = session.transport(host.name, Deadline.after(30))

        def echo() -> None:
            result = transport.exec(Cmd(("echo", "x")), deadline=Deadline.after(30))
            assert result.ok and result.out == b"x\n", result

        actions = {
            "exec, open connection": echo,
            "ssh, control master": lambda: run(*host.ssh_command("-o", control), host.address, "echo x"),
            "ssh": lambda: run(*host.ssh_command(), host.address, "echo x"),
        }
        times = interleaved(actions, count, warm=3)
    sheet.series("exec, open connection", times["exec, open connection"], "ms", Target("p50", at_most=3))
    for name in list(actions)[1:]:
        sheet.series(name, times[name], "ms")


def measure_connect(sheet: Sheet, folder: Path, farm: Farm, count: int) -> None:
    """From nothing to an authenticated connection, in a process that has imported everything."""
    times = []
    for _ in range(count):
        with opened(folder / "project") as session:
            started = time.perf_counter()
            session.transport("h0", Deadline.after(30))
            times.append((time.perf_counter() - started) * 1e3)
    sheet.series("connect", times, "ms")


def until_lost(output: Output, pieces: Iterator[bytes]) -> None:
    """Read until the connection is reported lost; anything else ends the script."""
    try:
        rest, result = b"".join(pieces), output.result()
    except Unreachable:
        return
    sys.exit(f"a command in a black hole ended with {rest!r} and {result} as if nothing had happened")


def measure_dead_peer(sheet: Sheet, folder: Path, farm: Farm, count: int) -> None:
    """A command that waits while everything disappears."""
    host, taken = farm.hosts[0], []
    before = threading.active_count()
    with Proxy(host.address, host.port) as proxy:
        project = folder / "dead"
        project.mkdir()
        farm.fleet_json(project, hosts=[farm.through(0, proxy)])
        for _ in range(count):
            with opened(project) as session:
                transport = session.transport(host.name, Deadline.after(30))
                # It runs when the connection dies; one that cannot even start may be tried on another connection.
                waiting = Cmd(("sh", "-c", "echo on; sleep 50"))
                with transport.stream_out(waiting, deadline=Deadline.after(60)) as output:
                    pieces = iter(output)
                    assert next(pieces) == b"on\n"
                    proxy.hole(True)
                    taken.append(seconds(partial(until_lost, output, pieces)))
                proxy.hole(False)
            proxy.reset_all()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    sheet.series("dead peer noticed", taken, "s", Target("max", at_most=10))
    sheet.count("threads left by dead peers", threading.active_count() - before, count, at_most=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    options = parser(__doc__, 40).parse_args(arguments)
    needed("ssh")
    begin(options.seed)
    sheet = Sheet("One command, one connection", options.slack)
    with scratch() as folder, Farm(folder / "farm", 1) as farm:
        measure_exec(sheet, folder, farm, options.count)
        measure_connect(sheet, folder, farm, options.count)
        measure_dead_peer(sheet, folder, farm, min(HOLES, options.count))
    return sheet.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
