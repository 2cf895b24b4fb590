"""The command line: `hydra COMMAND`, a thin layer that parses, calls a room and prints.

It exists so that everything Hydra does has one spelling. No command's module is imported before that command runs.
"""

from __future__ import annotations

from hydra.cli.application import main

__all__ = ["main"]
