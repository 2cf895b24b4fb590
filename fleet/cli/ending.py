"""How a command ends the process."""

from __future__ import annotations

from typing import Final

#: What OpenSSH, too, answers when it failed and not the remote command.
OURS: Final = 255


class Ended(SystemExit):
    """The end of a command that has said all it had to say; a plain SystemExit comes from the parser of arguments."""
