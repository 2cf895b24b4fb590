"""What pins the packages of a release: `uv.lock`, a hashed `requirements.lock`, or `constraints.txt`.

The project itself is never installed: it runs from the release, so the environment holds only what it depends on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fleet.errors import Blocked, Usage
from fleet.remote.env_requirements import canonical, logical_lines, name_of

#: The files that can pin packages, in the order of preference, and the one that says what is needed.
FILES: Final = ("uv.lock", "requirements.lock", "constraints.txt", "pyproject.toml")
_PIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*==\s*[A-Za-z0-9.!+_-]+\s*(;.*)?")
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")

Kind = Literal["uv", "hashed", "constraints"]


@dataclass(frozen=True, slots=True)
class Lock:
    """What pins the packages, and where from."""

    kind: Kind
    text: str
    requirements: tuple[str, ...] = ()
    """What the project asks for directly; only where the pins do not say it themselves."""
    pins: frozenset[str] | None = None
    """Canonical names that constraints pin; the other kinds let nothing else in, so there is nothing to compare."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides which packages come."""
        parts = [self.kind, self.text, *sorted(self.requirements)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def pinned(self) -> str:
        """How much is promised about the packages."""
        return "pinned, not hashed" if self.kind == "constraints" else "pinned and hashed"


def reusable(files: Mapping[str, str]) -> bool:
    """Whether some of the files can pin everything but torch: `uv sync` takes all of `uv.lock` or nothing."""
    return "requirements.lock" in files or {"constraints.txt", "pyproject.toml"} <= set(files)


def read_lock(host: str, files: Mapping[str, str], *, uv: bool, extras: Sequence[str] = ()) -> Lock:
    """The lock to build from; `uv` says whether `uv.lock` can be used now.

    Raises Blocked if there is nothing to build from, and Usage for a file that does not pin what it should.
    """
    if "uv.lock" in files and uv:
        return Lock("uv", files["uv.lock"])
    if "requirements.lock" in files:
        return _hashed(files["requirements.lock"])
    if {"constraints.txt", "pyproject.toml"} <= set(files):
        return _constraints(files["constraints.txt"], files["pyproject.toml"], extras)
    if "uv.lock" in files:
        raise Blocked(
            f"{host}: the release pins its packages in uv.lock alone, and uv cannot be used here",
            why="there is no uv on the host and none is pinned in fleet.json, or torch or the index is to be left out",
            fix="commit a requirements.lock too, or pin a uv binary in fleet.json",
            example="uv export --frozen --no-emit-project --output-file requirements.lock",
            host=host,
        )
    raise Blocked(
        f"{host}: the release does not pin its packages",
        why=f"it has none of {', '.join(FILES[:2])}, nor constraints.txt with pyproject.toml",
        fix="commit one of them",
        example="pip freeze > constraints.txt",
        host=host,
    )


def _hashed(text: str) -> Lock:
    for number, line in logical_lines(text):
        if name_of(line) is not None and "--hash=" not in line:
            raise Usage(
                f"requirements.lock:{number}: {line!r} has no --hash",
                why="a lock names the digest of every package that it lets in",
                fix="write the file with a tool that adds digests",
                example="uv export --frozen --no-emit-project --output-file requirements.lock",
            )
    return Lock("hashed", text)


def _constraints(text: str, pyproject: str, extras: Sequence[str]) -> Lock:
    lines = logical_lines(text)
    for number, line in lines:
        if not _PIN.fullmatch(line):
            raise Usage(
                f"constraints.txt:{number}: {line!r} is not one exact version",
                why="hosts that are set up on different days would get different packages",
                fix="write name==version",
                example="numpy==2.4.6",
            )
    pins = frozenset(name for _, line in lines if (name := name_of(line)))
    requirements = _requirements(pyproject, extras)
    loose = [line for line in requirements if name_of(line) not in pins]
    if loose:
        raise Usage(
            f"pyproject.toml asks for {', '.join(loose)}, and constraints.txt has no version of it",
            why="hosts that are set up on different days would get different packages",
            fix="add name==version to constraints.txt",
            example=f"{name_of(loose[0])}==1.0.0",
        )
    return Lock("constraints", text, requirements, pins)


def _requirements(pyproject: str, extras: Sequence[str]) -> tuple[str, ...]:
    """Direct dependencies with those of the extras; an extra that names the project itself stands for its extras."""
    import tomllib

    try:
        project: dict[str, Any] = tomllib.loads(pyproject).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise Usage(
            f"pyproject.toml: {error}",
            why="it says which packages the project needs",
            fix="correct the file and deploy again",
            example='dependencies = ["torch>=2.11"]',
        ) from error
    optional: dict[str, list[str]] = project.get("optional-dependencies", {})
    own = canonical(project.get("name", ""))
    found: dict[str, None] = dict.fromkeys(project.get("dependencies", []))
    todo, done = list(extras), set[str]()
    while todo:
        extra = todo.pop()
        if extra not in optional:
            raise Usage(
                f"pyproject.toml has no extra {extra!r}",
                why=f"its extras are {', '.join(sorted(optional)) or 'none'}",
                fix="choose one of them",
                example='"extras": ["tensorboard"]',
            )
        done.add(extra)
        for line in optional[extra]:
            match = _REQUIREMENT.match(line)
            if match and canonical(match[1]) == own:
                todo += [name.strip() for name in (match[2] or "").split(",") if name.strip() not in {"", *done}]
            else:
                found[line] = None
    return tuple(found)
