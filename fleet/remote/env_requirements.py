"""Requirement files, as far as both sides must understand them: logical lines, names, and what belongs to torch."""

from __future__ import annotations

import re
from typing import Mapping

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def canonical(name: str) -> str:
    """The one spelling under which a package is known (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def logical_lines(text: str) -> list[tuple[int, str]]:
    """The requirements of a file with the line on which each begins; comments gone, continuations joined."""
    found: list[tuple[int, str]] = []
    start, joined = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = re.sub(r"(^|\s)#.*$", "", line).strip()
        start = start if joined else number
        if stripped.endswith("\\"):
            joined += stripped[:-1] + " "
            continue
        joined = " ".join((joined + stripped).split())
        if joined:
            found.append((start, joined))
        joined = ""
    return [*found, (start, joined.strip())] if joined.strip() else found


def name_of(requirement: str) -> str | None:
    """The canonical name that a requirement begins with, None for an option such as `--index-url`."""
    found = _NAME.match(requirement)
    return canonical(found.group()) if found else None


def of_torch(name: str) -> bool:
    """Whether a package (by canonical name) comes with torch and must stay as the torch in place needs it."""
    return name in {"torch", "triton", "pytorch-triton"} or name.startswith(("nvidia-", "cuda-"))


def kept_in_place(name: str, present: Mapping[str, str]) -> bool:
    """Whether reuse leaves a package to the interpreter below: what comes with torch, triton only if it is there."""
    return of_torch(name) and (name not in {"triton", "pytorch-triton"} or name in present)


def for_reuse(text: str, present: Mapping[str, str]) -> str:
    """A requirements file without what is kept in place."""
    lines = [line for _, line in logical_lines(text)]
    return "".join(line + "\n" for line in lines if not kept_in_place(name_of(line) or "", present))


def constraints_for_reuse(text: str, present: Mapping[str, str]) -> str:
    """Constraints in which what comes with torch is pinned to the versions that are in place."""
    pins = [f"{name}=={version}\n" for name, version in sorted(present.items()) if of_torch(name)]
    return for_reuse(text, present) + "".join(pins)
