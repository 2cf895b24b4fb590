"""What the release scripts answer: `word value` lines on stdout, the reason of a failure on stderr, and a status."""

from __future__ import annotations

import re
from typing import Final

from fleet.errors import Busy, FleetError, NotFound, RemoteFailed, Unverified
from fleet.ssh import Result

UNVERIFIED: Final = 65
NOT_FOUND: Final = 66
NO_TOOL: Final = 69
BUSY: Final = 75
NO_BASE: Final = 76
_RELEASE: Final = re.compile(r"[0-9a-f]{16}")


def fields(result: Result) -> list[tuple[str, str]]:
    """The lines of an answer, as word and value. Bytes that are not UTF-8 survive the way to a path and back.

    Some hosts print a greeting even where nobody reads it: what comes before the line `begin` is not an answer.
    """
    _, _, answer = b"\n".join((b"", result.out)).partition(b"\nbegin\n")
    lines = answer.decode(errors="surrogateescape").split("\n")
    return [(word, value) for word, _, value in (line.partition(" ") for line in lines) if word]


def release_or_none(value: str) -> str | None:
    """The value if it can be a release id; None for anything else, such as an empty one."""
    return value if _RELEASE.fullmatch(value) else None


def words(result: Result) -> str:
    """What the host's tools said, in one line; without that, what its shell said in their place."""
    said = [line.strip() for line in result.err.decode(errors="replace").splitlines() if line.strip()]
    if not said and not fields(result):
        # A login's shell that refuses to run commands says so where the answer would be.
        said = [line.strip() for line in result.out.decode(errors="replace").splitlines() if line.strip()]
    told = "".join(letter if letter.isprintable() else "?" for letter in "; ".join(said[-4:]))
    return told or f"status {result.rc} without a word"


def refusal(result: Result, host: str, deploy_dir: str, doing: str) -> FleetError:
    """The error that a failed release script stands for."""
    said = words(result)
    if result.rc == BUSY:
        return Busy(
            f"another deploy is at work in {deploy_dir}: {said}",
            why="two at once would each remove what the other has not finished",
            fix="wait for it; its lock ends with it, and 20 s after the last byte if its connection was cut",
            example=f"fleet deploy {host}",
            host=host,
        )
    if result.rc == UNVERIFIED:
        return Unverified(
            f"{doing}: {said}",
            why="only what is exactly as described becomes or stays current; nothing was switched",
            fix="deploy that code again: with --no-switch what is current is read too, and replaced if it is damaged",
            example=f"fleet deploy {host} --no-switch",
            host=host,
        )
    if result.rc == NOT_FOUND:
        return NotFound(
            f"{doing}: {said}",
            why=f"only what is in releases/ of {deploy_dir} can become current",
            fix="choose one that is there, or deploy",
            example=f"fleet rollback {host} --list",
            host=host,
        )
    return RemoteFailed(
        f"{doing}: {said}",
        why=f"a tool on {host} failed, and nothing was made current",
        fix="see to what it says: space, permissions, or a missing tool",
        example=f"fleet run {host} -- df -h",
        host=host,
    )
