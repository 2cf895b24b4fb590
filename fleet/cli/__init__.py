"""The command line `fleet`: it parses, calls `fleet.control`, and prints tables or JSON.

Nothing is decided here, so that whatever the command line can do, a program can do through `fleet.Fleet`.
"""

from __future__ import annotations

from fleet.cli.application import main

__all__ = ["main"]
