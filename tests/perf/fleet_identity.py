"""Target 13: a state that names a process which is not the run's never gets that process a signal, 1,000 times.

    python -m tests.perf.fleet_identity --count 1000

A victim notes every signal. Run directories on the host name it as supervisor, as leader or as holder of the lock, with
one part of the identity wrong (boot, or start time), and are stopped, with and without --kill.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from hydra.runs import machine_id
from tests.farm.processes import process
from tests.farm.sshd import Farm
from tests.perf.host_runs import HostRuns, Run, code_of
from tests.perf.measuring import Sheet, begin, parser
from tests.perf.programs import scratch

#: Every so often the lock is held indeed, and each such stop waits 10 s for an answer.
HELD_EVERY = 100

VICTIM = """
import signal, sys, time
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, lambda got, frame: print(got, flush=True))
print("ready", flush=True)
while True:
    time.sleep(60)
"""


class Victim:
    """A process that notes every signal; use it as a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"
        found = process(self._process.pid)
        assert found is not None
        self.pid, self.start = found.pid, found.start

    def dead(self) -> bool:
        """Whether somebody killed it."""
        return self._process.poll() is not None

    def signals(self) -> list[int]:
        """The signals that it got; a last one, sent by us, shows that it would have noted them."""
        assert self._process.stdout is not None
        if not self.dead():
            self._process.send_signal(signal.SIGUSR1)
            noted = [int(self._process.stdout.readline())]
            while noted[-1] != signal.SIGUSR1:
                noted.append(int(self._process.stdout.readline()))
            return noted[:-1]
        return [int(line) for line in self._process.stdout] + [signal.SIGKILL]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


def measure_forged(sheet: Sheet, folder: Path, farm: Farm, count: int) -> None:
    """States that name a process which is not the run's."""
    runs = HostRuns(folder / "forged", farm)
    codes: Counter[int] = Counter()
    with Victim() as victim:
        for number in range(count):
            run = runs.prepare("good")
            forge(run, victim.pid, victim.start, number)
            request = {"deploy_dir": "~/fleet/hydra", "run": run.id, "grace": 0.2, "kill": random.random() < 0.5}
            with held(run, number % HELD_EVERY == HELD_EVERY - 1):
                # One that is held by nobody known is waited for as long as anybody asks.
                codes[code_of(partial(runs.call, "stop", request, seconds=20))] += 1
            if victim.dead():
                break
        signals = victim.signals()
    sheet.count("signals to a process that is not the run's", len(signals), count, at_most=0)
    for code, times in sorted(codes.items()):
        sheet.number(f"stops of forged states that end with {code}", times, f"of {count}")


@contextmanager
def held(run: Run, really: bool) -> Iterator[None]:
    """The run's lock is held, by a process that is not the one whose name is written there."""
    with (run.path / "supervisor.lock").open("a") as file:
        if really:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def forge(run: Run, pid: int, start: int, number: int) -> None:
    """A run directory that names a process as supervisor and leader, wrong in one of the three parts of an identity."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    wrong_boot = f"{random.randrange(1 << 32):08x}{boot[8:]}"
    wrong_start = start + random.choice((-1, 1)) * random.randrange(1, 1 << random.randrange(1, 24))
    boot_id, told = ((boot, wrong_start), (wrong_boot, start), (wrong_boot, wrong_start))[number % 3]
    named = {"pid": pid, "start": told}
    machine = machine_id() if random.random() < 0.8 else "0" * 16
    state = {
        "schema": 1,
        "run": run.id,
        "attempt": 1,
        "state": random.choice(("starting", "running", "stopping", "backoff", "lost")),
        "since": time.time() - random.uniform(0, 1e5),
        "machine_id": machine,
        "boot_id": boot_id,
        "supervisor": named if number % 2 else None,
        "leader": named,
    }
    run.path.mkdir(parents=True)
    (run.path / "control").mkdir()
    (run.path / "state.json").write_text(json.dumps(state))
    (run.path / "launch.json").write_text(run.request.read_text())
    holder = {
        "process": {"boot_id": boot_id, "pid": pid, "start": told},
        "machine": machine,
        "host": os.uname().nodename,
        "attempt": 1,
        "since": time.time(),
    }
    if random.random() < 0.5:
        (run.path / "supervisor.lock").write_text(json.dumps(holder))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    options = parser(__doc__, 1000).parse_args(arguments)
    begin(options.seed)
    sheet = Sheet("Forged states", options.slack)
    with scratch() as folder, Farm(folder / "farm", 1) as farm:
        measure_forged(sheet, folder, farm, options.count)
    return sheet.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
