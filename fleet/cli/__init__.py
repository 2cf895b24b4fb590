"""The command line `fleet`: it parses, calls `fleet.control`, and prints tables or JSON.

Nothing is decided here, so that whatever the command line can do, a program can do through `fleet.Fleet`.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Final

__all__ = ["main"]

#: Objects that live on before the collector looks for cycles among them. Imports make a hundred thousand that stay, and
#: looking through them again and again is 8 of the 150 ms of CPU of a deploy that finds nothing to do.
_COLLECT_AFTER: Final = 100_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line (this process's own if none is given) and exit with its code."""
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
    from fleet.cli.application import main as run

    run(arguments)
