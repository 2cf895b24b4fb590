"""How the agent says no: the parts of an error, which the controller turns into its own error types."""

from __future__ import annotations

from typing import Any, Callable, Dict

BUSY_STATUS = 75
REFUSED_STATUS = 1

Answer = Dict[str, Any]


class Refusal(Exception):
    """A request that cannot be carried out. `kind` is a word of `fleet.errors`; all parts are sentences."""

    def __init__(self, kind: str, what: str, *, why: str, fix: str, example: str) -> None:
        super().__init__(what)
        self.parts = {"kind": kind, "what": what, "why": why, "fix": fix, "example": example}

    @property
    def status(self) -> int:
        """The exit status of the agent that goes with it."""
        return BUSY_STATUS if self.parts["kind"] == "busy" else REFUSED_STATUS

    def answer(self) -> Answer:
        """The agent's answer."""
        return {"error": self.parts}


def answered(act: Callable[[Answer], Answer], request: Answer) -> tuple[Answer, int]:
    """What a command's `main` returns: the answer and status 0, or the refusal and its status.

    A disk that refuses (full, read-only, somebody else's) is a refusal in the words of the system.
    """
    try:
        return act(request), 0
    except Refusal as refusal:
        return refusal.answer(), refusal.status
    except OSError as error:
        disk = refused_by_disk(error)
        return disk.answer(), disk.status


def refused_by_disk(error: OSError, place: str = "the run's directory") -> Refusal:
    """The refusal that passes on what the system said of a file."""
    return Refusal(
        "remote",
        f"{error.filename or place}: {error.strerror or error}",
        why="it could not be made, read or written",
        fix="make room on the host, or see who owns the folder",
        example="fleet run lab-a -- df -h",
    )


def usage(what: str, *, why: str, fix: str, example: str) -> Refusal:
    """The refusal of a request that means nothing."""
    return Refusal("usage", what, why=why, fix=fix, example=example)
