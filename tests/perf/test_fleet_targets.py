"""Every measurement runs, with few rounds and generous limits of time; counts of what must never happen get no slack.

The full numbers come from `python -m tests.perf.fleet_all`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: A machine with two cores runs other tests beside these.
SLACK = 10
FEW = {
    "fleet_startup": ["--count", "3"],
    "fleet_exec": ["--count", "2"],
    "fleet_deploy": ["--count", "2", "--files", "100"],
    "fleet_cuts": ["--count", "6"],
    "fleet_bulk": ["--count", "1", "--mib", "16"],
    "fleet_status": ["--count", "1", "--hosts", "6"],
    "fleet_follow": ["--count", "5"],
    "fleet_runs": ["--count", "12"],
    "fleet_group": ["--count", "1", "--only", "nodes", "--hosts", "3"],
    "fleet_identity": ["--count", "12"],
}
#: What a script needs besides sshd.
NEEDS = {"fleet_group": [pytest.mark.needs("netns")]}


@pytest.mark.needs("sshd")
@pytest.mark.parametrize("script", [pytest.param(script, marks=NEEDS.get(script, ())) for script in FEW])
def test_measurement(script: str, root: Path, tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    options = [*FEW[script], "--slack", str(SLACK), "--json", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", f"tests.perf.{script}", *options], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    told = json.loads(file.read_text())
    assert told["missed"] == [] and told["rows"]
    assert "| what | runs |" in done.stdout
