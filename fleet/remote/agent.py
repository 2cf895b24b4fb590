"""The program on the host: `python3 agent.pyz COMMAND`, JSON on stdin, JSON on stdout.

Each command is a module of this package with `main(request) -> (answer, status)`. The status is the process's exit
status: 0, or 75 (`BUSY`) when somebody else holds what is needed; a refusal is an answer with the key `error`, status 1
and the parts `what, why, fix`. A bug is a traceback on stderr and status 70.
"""

from __future__ import annotations

import importlib
import json
import sys

BUSY = 75
BUG = 70
#: Command -> module of this package.
COMMANDS = {
    "start": "start",
    "stop": "stop",
    "runs": "runs",
    "ps": "processes",
    "verify": "verify",
    "listing": "listing",
    "tail": "tail",
    "network": "network",
}


def main(keep: str | None = None) -> None:
    """Run the command that the arguments name, after keeping the agent's byte code at a place that lacks it.

    Where it cannot be kept, the answer says why under the key `slow`.
    """
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.stderr.write(f"usage: agent.pyz {'|'.join(COMMANDS)}\n")
        raise SystemExit(2)
    request = json.loads(sys.stdin.read() or "{}")
    problem = "" if keep is None else importlib.import_module("fleet.remote.bytecode").keep(sys.argv[0], keep)
    answer, status = importlib.import_module("fleet.remote." + COMMANDS[sys.argv[1]]).main(request)
    if problem:
        answer = {**answer, "slow": problem}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    raise SystemExit(status)
