"""pip that chooses for another machine: `python foreign_pip.py MARKERS PIP-ARGUMENTS`, MARKERS as a JSON object.

pip's own `--platform` and `--python-version` choose among wheels, but markers such as `sys_platform == "linux"` are
still answered for the machine that pip runs on, so a laptop would gather the wrong packages for a Linux host. This
script answers them for the host. It is run as a file in a process of its own and imports nothing of this project.
"""

from __future__ import annotations

import importlib
import json
import sys


def main() -> int:
    """Run pip with the markers of the first argument. The status is pip's, 3 where this pip cannot be told."""
    foreign: dict[str, str] = json.loads(sys.argv[1])
    markers = importlib.import_module("pip._vendor.packaging.markers")
    if not callable(getattr(markers, "default_environment", None)):
        sys.stderr.write("ERROR: this pip does not say where it takes its markers from; use another version of pip\n")
        return 3
    vars(markers)["default_environment"] = lambda: dict(foreign)
    status = importlib.import_module("pip._internal.cli.main").main(sys.argv[2:])
    assert isinstance(status, int)
    return status


if __name__ == "__main__":
    sys.exit(main())
