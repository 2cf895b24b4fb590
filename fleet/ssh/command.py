"""A remote command as values: arguments and folder, made into shell text in one place."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Cmd:
    """What to run on a host. Arguments arrive there exactly as given, whatever characters they hold."""

    argv: tuple[str, ...]
    cwd: str | None = None
    """Folder to change to first; `~` is not expanded. Absent means the login folder."""
    held: bool = False
    """Whether `exec` keeps its stdin open until it ends, so that it can tell when nobody waits for it any more."""

    @classmethod
    def script(cls, name: str, *arguments: str) -> Self:
        """A POSIX shell script of `fleet/remote`, by file name, with its positional parameters `$1`, `$2`, ..."""
        # Here, since it costs 6 ms and most commands need no script.
        from importlib.resources import files

        text = (files("fleet.remote") / name).read_text(encoding="utf-8")
        return cls(("sh", "-c", text, name, *arguments))

    def line(self) -> str:
        """The command as one line for the remote shell. Nothing else in `fleet` makes shell text from values."""
        # Without exec some login shells stay behind as one more process.
        command = f"exec {shlex.join(self.argv)}"
        return command if self.cwd is None else f"cd {shlex.quote(self.cwd)} && {command}"


@dataclass(frozen=True, slots=True)
class Result:
    """How a remote command ended."""

    rc: int
    """Exit status; 128 + n if a signal n ended it."""
    out: bytes = b""
    err: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether it ended with status 0."""
        return self.rc == 0
