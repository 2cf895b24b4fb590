"""The interpreters of a host as they described themselves, and the choice among them, with its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fleet.errors import Blocked
from fleet.remote.env_probe import torch_problem

#: Oldest Python and torch of an environment, as in pyproject.toml.
OLDEST_PYTHON: Final = "3.11"
OLDEST_TORCH: Final = "2.11"
#: Seconds for one interpreter: torch takes up to half a minute to import from a cold network disk.
PROBE_SECONDS: Final = 60
_ALARM: Final = 128 + 14
_NO_PIP: Final = "it has neither pip nor ensurepip"

Wish = Literal["auto", "reuse", "isolated"]


@dataclass(frozen=True, slots=True)
class Torch:
    """A torch that an interpreter has."""

    version: str
    git: str
    cuda: str | None
    path: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python new enough to build on."""

    path: str
    real: str
    version: str
    build: str
    platform: str
    libc: str
    pip: bool
    """Whether it can install packages on its own: it has pip, or the wheel of pip that comes with Python."""
    gpus: int
    torch: Torch | None
    """None without one that imports."""
    problem: str
    """Why its torch cannot be reused; empty when it can."""
    packages: Mapping[str, str]
    markers: Mapping[str, str]
    facts: Mapping[str, Any]
    """All that the probe said, for the builder."""

    def reused(self) -> dict[str, str]:
        """What an environment that shows this interpreter's packages depends on."""
        assert self.torch is not None
        torch = {
            "torch": self.torch.version,
            "git": self.torch.git,
            "cuda": self.torch.cuda or "",
            "at": self.torch.path,
        }
        return {"build": self.build, "path": self.path, **torch}

    def described(self) -> str:
        """Path and version, for messages."""
        return f"{self.path} (Python {self.version})"


@dataclass(frozen=True, slots=True)
class Rejected:
    """An interpreter that cannot be used at all."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The interpreter that an environment is built on."""

    interpreter: Interpreter
    reuse: bool
    reason: str
    rejected: tuple[str, ...]
    """One line for each interpreter, or its torch, that was looked at and not taken."""


def described(path: str, status: int, answer: str) -> Interpreter | Rejected:
    """What an interpreter's answer to the probe says of it."""
    if status == _ALARM:
        return Rejected(path, f"did not answer within {PROBE_SECONDS} s")
    if status == 127 and not answer:
        return Rejected(path, "there is no such program")
    if status == 1 and answer[:1].isdigit():
        return Rejected(path, f"Python {answer} is older than {OLDEST_PYTHON}")
    try:
        facts = json.loads(answer)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        return Rejected(path, f"ended with status {status}: {answer[:200] or 'no answer'}")
    if facts["implementation"] != "cpython":
        return Rejected(path, f"is {facts['implementation']}, and torch needs CPython")
    return _interpreter(facts)


def _interpreter(facts: Mapping[str, Any]) -> Interpreter:
    found = facts.get("torch")
    torch = None
    if found is not None and "error" not in found:
        torch = Torch(found["version"], found["git"], found["cuda"], found["path"], tuple(found["devices"]))
    return Interpreter(
        path=facts["executable"],
        real=facts["real"],
        version=facts["version"],
        build=facts["build"],
        platform=facts["platform"],
        libc=facts["libc"],
        pip=bool(facts["pip"] or facts["ensurepip"]),
        gpus=facts["gpus"],
        torch=torch,
        problem=torch_problem(found, facts["gpus"], OLDEST_TORCH),
        packages=facts["packages"],
        markers=facts["markers"],
        facts=facts,
    )


def choose(
    host: str, candidates: Sequence[Interpreter | Rejected], wish: Wish, *, reusable: bool = True, tool: bool = False
) -> Choice:
    """Take the first interpreter whose torch can be reused, else the first that packages can be installed for.

    `reusable` is False when what pins the packages cannot leave out torch; `tool` says that uv, or a pip of this side,
    can be used with an interpreter that has no pip. Raises Blocked when nothing fits.
    """
    rejected = [f"{one.path}: {one.reason}" for one in candidates if isinstance(one, Rejected)]
    usable = [one for one in candidates if isinstance(one, Interpreter)]
    if wish == "reuse" or (wish == "auto" and reusable):
        for one in usable:
            if not one.problem and (one.pip or tool):
                return Choice(one, True, _why_reuse(one), tuple(rejected))
            rejected.append(f"{one.described()}: not reused: {one.problem or _NO_PIP}")
    if wish == "reuse":
        raise _nothing(host, "no Python here has a torch that can be reused", rejected, "--isolated")
    for one in usable:
        if one.pip or tool:
            why = (
                "asked for"
                if wish == "isolated"
                else "no torch here can be reused"
                if reusable
                else "uv.lock pins torch"
            )
            return Choice(one, False, f"an environment of its own on {one.described()}: {why}", tuple(rejected))
        rejected.append(f"{one.described()}: {_NO_PIP}")
    raise _nothing(
        host, f"no Python {OLDEST_PYTHON} or newer that packages can be installed for", rejected, "--python P"
    )


def _why_reuse(one: Interpreter) -> str:
    assert one.torch is not None
    build = f"CUDA {one.torch.cuda}" if one.torch.cuda else "no CUDA"
    devices = f", sees {len(one.torch.devices)} devices" if one.gpus or one.torch.devices else ", no GPU here"
    return f"{one.described()} has torch {one.torch.version} ({build}){devices}"


def _nothing(host: str, what: str, rejected: Sequence[str], option: str) -> Blocked:
    return Blocked(
        f"{host}: {what}",
        why="looked at: " + "; ".join(rejected)
        if rejected
        else "no interpreter was found on PATH or in the usual places",
        fix=f"install Python {OLDEST_PYTHON} or newer (conda and uv need no root), name one, or use {option}",
        example=f"fleet setup {host} --python /opt/conda/bin/python",
        host=host,
    )
