"""`python -m tests.perf.starting PROJECT HOST REQUEST`: a controller process that starts one run and ends.

REQUEST is a file with the launch request. It prints the agent's answer, and exits with the code of the error if there
is one, as `fleet train` does. Measurements run many of these at once, and kill them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fleet.errors import FleetError
from fleet.ssh import Deadline
from tests.perf.sessions import opened


def main() -> int:
    """Start the run."""
    project, host, request = sys.argv[1:]
    try:
        with opened(Path(project)) as session:
            deadline = Deadline.after(120)
            answer = session.agent(host, deadline).call(
                "start", json.loads(Path(request).read_text()), deadline=deadline
            )
    except FleetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
