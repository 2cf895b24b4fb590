"""Every measurement of `fleet`, one after the other: the full counts of the targets, or the reduced ones of each push.

    python -m tests.perf.fleet_all --out FOLDER [--reduced] [--slack 3]

Writes one JSON file for each script and ends with 1 if any target was missed, with the list of misses.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.perf.measuring import ROOT

#: Script -> options of the full table, options of a reduced run.
SCRIPTS: dict[str, tuple[list[str], list[str]]] = {
    "fleet_startup": ([], ["--count", "10"]),
    "fleet_exec": ([], ["--count", "20"]),
    "fleet_deploy": ([], ["--count", "5"]),
    "fleet_cuts": ([], ["--count", "50"]),
    "fleet_bulk": ([], ["--count", "3", "--mib", "128"]),
    "fleet_status": ([], ["--count", "3", "--hosts", "20"]),
    "fleet_follow": ([], ["--count", "20"]),
    "fleet_runs": ([], ["--count", "20"]),
    "fleet_group": ([], ["--count", "3"]),
    "fleet_identity": ([], ["--count", "50"]),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all, whatever one of them says."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the JSON files go")
    options.add_argument("--reduced", action="store_true", help="the counts of each push instead of the full table")
    options.add_argument("--slack", type=float, default=1.0, metavar="F", help="factor on limits of time")
    options.add_argument("--only", nargs="*", choices=SCRIPTS, default=list(SCRIPTS), help="these scripts")
    chosen = options.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    missed = []
    for name in chosen.only:
        file = chosen.out / f"{name}.json"
        file.unlink(missing_ok=True)
        counts = SCRIPTS[name][chosen.reduced]
        command = [sys.executable, "-m", f"tests.perf.{name}", *counts, "--slack", str(chosen.slack)]
        status = subprocess.run([*command, "--json", str(file)], cwd=ROOT).returncode
        told = json.loads(file.read_text())["missed"] if file.exists() else [f"ended with {status} and no numbers"]
        missed += [f"{name}: {line}" for line in told]
    print(*(f"missed: {line}" for line in missed), f"{len(missed)} targets missed", sep="\n")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
