"""`~`, `${NAME}` and `%h` in values of OpenSSH's configuration (ssh_config(5), TOKENS)."""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fleet.errors import Usage

# Compiled where they are used: most values hold neither.
_TOKEN = r"(?s)%(.?)"
#: What may become part of a shell line: nothing that a shell would interpret.
_PLAIN = r"[A-Za-z0-9._:@/\[\]+=,-]*"


def home() -> Path:
    """The account's home in the password database: OpenSSH looks there, whatever HOME says."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def account() -> str:
    """The local account's name."""
    return pwd.getpwuid(os.getuid()).pw_name


class Tokens(NamedTuple):
    """What the tokens stand for, for one host."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, *, host: str, hostname: str, port: str, user: str) -> Tokens:
        """The tokens of a connection to `hostname`, which the user called `host`."""
        machine = socket.gethostname()
        local = {"u": account(), "d": str(home()), "i": str(os.getuid()), "l": machine, "L": machine.split(".")[0]}
        return cls({"%": "%", "h": hostname, "n": host, "p": port, "r": user, **local})

    def path(self, word: str) -> Path:
        """A path with `~`, variables and tokens expanded. Raises Usage for an unknown token."""
        if word == "~" or word.startswith("~/"):
            word = str(home()) + word[1:]
        # OpenSSH expands variables in braces only.
        if "$" in word:
            word = re.sub(r"\$\{[^}]*\}", lambda found: os.path.expandvars(found[0]), word)
        if "%" in word:
            word = re.sub(_TOKEN, lambda found: self._value(found[1], word), word)
        return Path(word).expanduser()

    def command(self, line: str) -> str:
        """A shell line with tokens expanded. Raises Usage for a value that a shell would not take literally."""

        def plain(found: re.Match[str]) -> str:
            value = self._value(found[1], line)
            if re.fullmatch(_PLAIN, value):
                return value
            raise Usage(
                f"{value!r} cannot become part of the command {line!r}",
                why="the local shell would interpret some of its characters",
                fix="give the host an alias of letters, digits, dots and dashes in the SSH configuration",
                example="Host box\\n  HostName 192.0.2.10",
            )

        return re.sub(_TOKEN, plain, line)

    def _value(self, token: str, text: str) -> str:
        if token not in self.values:
            raise Usage(
                f"%{token} in {text!r} is not supported",
                why=f"fleet expands these tokens of ssh_config: %{', %'.join(sorted(self.values))}",
                fix="write the value out",
                example="ProxyCommand nc %h %p",
            )
        return self.values[token]
