"""The programs that are measured as whole processes: `fleet` of these sources, and the ones it is compared with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.farm.hosts import FarmHost
from tests.farm.server import SYSTEM_PATH
from tests.perf.measuring import ROOT

MEMORY = Path("/dev/shm")


def needed(*names: str) -> None:
    """End the script when a program is missing."""
    for name in names:
        if shutil.which(name) is None:
            sys.exit(f"no {name} on this machine, and this measurement compares with it (apt-get install {name})")


def fleet_command(*arguments: str) -> list[str]:
    """The command line of these sources' `fleet`."""
    return [sys.executable, "-m", "fleet.cli", *arguments]


def environment() -> dict[str, str]:
    """What a fleet process gets: these sources, and no more of ours than a login would have."""
    return {"PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}", "HOME": str(Path.home()), "PYTHONPATH": str(ROOT)}


def start_fleet(*arguments: str, cwd: Path, **options: Any) -> subprocess.Popen[str]:
    """Start `fleet` without waiting for it; stdout and stderr are pipes unless said otherwise."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    return subprocess.Popen(fleet_command(*arguments), cwd=cwd, env=environment(), text=True, **options)


def fleet(
    *arguments: str, cwd: Path, expect: Sequence[int] | None = (0,), timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run `fleet` to its end. A status that is not expected (None: any is) is an error with its output."""
    done = subprocess.run(
        fleet_command(*arguments),
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if expect is not None and done.returncode not in expect:
        raise RuntimeError(f"fleet {' '.join(arguments)} exits {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    """The `data` of what `fleet --json` printed."""
    return json.loads(done.stdout)["data"]


def run(*command: str) -> None:
    """Run another program; its failure is an error with its output."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} exits {done.returncode}:\n{done.stdout}{done.stderr}")


def rsync(host: FarmHost, source: str, target: str, *options: str) -> None:
    """`rsync -a` over this host's ssh; a path that starts with `:` is on the host."""
    shell = " ".join(host.ssh_command())
    paths = [f"{host.address}{path}" if path.startswith(":") else path for path in (source, target)]
    run("rsync", "-a", *options, "-e", shell, *paths)


def scp(host: FarmHost, source: str, target: str) -> None:
    """`scp` one file; a path that starts with `:` is on the host."""
    paths = [f"{host.address}{path}" if path.startswith(":") else path for path in (source, target)]
    run(*host.ssh_command("-q", program="scp"), *paths)


@contextmanager
def scratch(in_memory: bool = False) -> Iterator[Path]:
    """A folder for one script, on disk or in the memory file system."""
    place = MEMORY if in_memory and MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fleet-measured-", dir=place) as folder:
        yield Path(folder)
