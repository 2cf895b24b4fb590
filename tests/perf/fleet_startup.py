"""Target 21: `fleet --help` in a fresh process, beside an interpreter that does nothing.

python -m tests.perf.fleet_startup --count 20
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tests.perf.measuring import ROOT, Sheet, Target, interleaved, parser
from tests.perf.programs import environment, fleet

#: What must not be imported to print help.
HEAVY = ("paramiko", "fabric", "pydantic", "fastapi", "torch", "cryptography")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    options = parser(__doc__, 20).parse_args(arguments)
    sheet = Sheet("Start-up", options.slack)

    def bare() -> None:
        subprocess.run([sys.executable, "-c", "pass"], env=environment(), check=True)

    actions = {
        "fleet --help": lambda: fleet("--help", cwd=ROOT),
        "fleet deploy --help": lambda: fleet("deploy", "--help", cwd=ROOT),
        "python -c pass": bare,
    }
    times = interleaved(actions, options.count)
    sheet.series("fleet --help", times["fleet --help"], "ms", Target("p50", at_most=150))
    sheet.series("fleet deploy --help", times["fleet deploy --help"], "ms")
    sheet.series("python -c pass", times["python -c pass"], "ms")
    sheet.count("heavy packages imported by fleet --help", len(imported()), len(HEAVY), at_most=0)
    return sheet.finish(options.json)


def imported() -> list[str]:
    """Which of the heavy packages `fleet --help` imports."""
    code = "\n".join(
        [
            "import sys",
            "from fleet.cli import main",
            "try:",
            "    main(['--help'])",
            "finally:",
            f"    print('imported:', *sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("imported:")]
    return line.split()[1:]


if __name__ == "__main__":
    sys.exit(main())
