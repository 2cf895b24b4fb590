"""The probes as texts: what a look costs, and that it is plain POSIX shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fleet.health import transfer_rate
from fleet.health.scripts import probe_script
from fleet.ssh import Deadline
from tests.fleet.health.conftest import DEPLOY_DIR

PROBES = ("probe.sh", "probe-inventory.sh", "probe-doctor.sh")
#: Processes that a look at a host without GPUs may start: the login shell, the probe's own, date, stat.
IDLE = 4
#: The same with a live run and an ended one to show: also stat, flock, and tail and sed for each.
SHOWING = 10


def started() -> int:
    """Processes that this machine has ever started."""
    lines = Path("/proc/stat").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("processes ")))


def fewest(host, tries: int = 12) -> int:
    """Processes started during a look. Others start some too, so the least of several counts."""
    counts = []
    for _ in range(tries):
        before = started()
        host.look(runs=1)
        counts.append(started() - before)
    return min(counts)


def test_a_look_starts_few_processes(host) -> None:
    assert fewest(host) <= IDLE
    for number in range(5):
        host.run(f"new-20260202-{number:06}-aaaa", state="completed")
    host.run(locked=True)
    assert len(host.look().runs) == 2
    assert fewest(host) <= SHOWING


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("name", PROBES)
def test_it_is_a_text_that_shells_understand(name: str, shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"no {shell} on this machine")
    text = probe_script(name, DEPLOY_DIR, 9).argv[2]
    options = ["--posix"] if shell == "bash" else []
    checked = subprocess.run([found, *options, "-n"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert len(text) < 16_000 and "\n#" not in text


def test_the_rate_of_a_connection(host) -> None:
    rates = transfer_rate(host.transport, deadline=Deadline.after(20), seconds=5, most_mib=8)
    assert rates.up > 1 and rates.down > 1
    assert set(rates.to_json()) == {"up_mib_s", "down_mib_s"}
    brief = transfer_rate(host.transport, deadline=Deadline.after(20), seconds=0.0, most_mib=1 << 20)
    assert brief.up == 0 and brief.down > 0, "time over means no more, not a terabyte"
