"""How a command ends the process."""

from __future__ import annotations


class Ended(SystemExit):
    """The end of a command that has said all it had to say; a plain SystemExit comes from the parser of arguments."""
