"""What one look at a host says about its environments: the one that is ready, or all that planning one needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from fleet.environment.answer import answer
from fleet.environment.identity import BUILDER
from fleet.environment.interpreter import (
    OLDEST_PYTHON,
    OLDEST_TORCH,
    PROBE_SECONDS,
    Interpreter,
    Rejected,
    Wish,
    described,
)
from fleet.environment.lock import FILES
from fleet.errors import NotFound, RemoteFailed
from fleet.ssh import Cmd, Deadline, Transport

_NO_RELEASE: Final = 76


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted on a host. Equal requests for equal pins have one environment."""

    release: str
    python: str = "auto"
    wish: Wish = "auto"
    extras: tuple[str, ...] = ()
    uv: str = "-"
    """File name under `tools/` of the pinned uv."""
    anew: bool = False

    def line(self) -> str:
        """The request as one line; the host adds the files that pin packages and makes a key of it."""
        return json.dumps([BUILDER, self.python, self.wish, sorted(set(self.extras))])


@dataclass(frozen=True, slots=True)
class Survey:
    """What the host said."""

    ready: Mapping[str, Any] | None
    """The record of the environment that fits; nothing else is known then."""
    machine: str = ""
    key: str = ""
    root: str = ""
    """The real deploy_dir, `~` expanded."""
    agent: bool = False
    uv: str | None = None
    """Path of a uv on the host."""
    files: Mapping[str, str] | None = None
    candidates: tuple[Interpreter | Rejected, ...] = ()


def look(transport: Transport, deploy_dir: str, request: Request, agent: str, deadline: Deadline) -> Survey:
    """Ask the host, in one round trip. Raises NotFound without the release and RemoteFailed if the look failed."""
    probe = (files("fleet.remote") / "env_probe.py").read_text(encoding="utf-8")
    what = "plain" if request.wish == "isolated" else "torch"
    arguments = [deploy_dir, request.release, request.line(), request.python, OLDEST_PYTHON, OLDEST_TORCH]
    arguments += [str(PROBE_SECONDS), probe, what, "anew" if request.anew else "any", agent, request.uv]
    result = transport.exec(Cmd.script("env-look.sh", *arguments, *FILES), deadline=deadline)
    if result.rc == _NO_RELEASE:
        raise NotFound(
            f"{transport.name} has no release {request.release}",
            why="an environment holds what a release pins, so the release comes first",
            fix="deploy it, or choose one that is there",
            example=f"fleet deploy {transport.name}",
            host=transport.name,
        )
    if not result.ok:
        words = result.err.decode("utf-8", "replace").strip()
        raise RemoteFailed(
            f"{transport.name}: looking for environments failed (status {result.rc}): {words or 'it said nothing'}",
            why="the host could not run a small shell script",
            fix="see whether a login there works and the disk is not full",
            example=f"fleet doctor {transport.name}",
            host=transport.name,
        )
    try:
        return parse(answer(result.out))
    except (ValueError, KeyError) as error:
        raise RemoteFailed(
            f"{transport.name}: what it said about its environments cannot be understood ({error})",
            why="a record there was damaged, or the login's shell ended before it ran what was asked",
            fix="build the environment anew; if that says the same, see whether `fleet run HOST -- echo hello` answers",
            example=f"fleet setup {transport.name} --recreate",
            host=transport.name,
        ) from error


def parse(data: bytes) -> Survey:
    """Read what the script wrote: tab-separated lines, each `file` followed by as many bytes as it says."""
    if data.startswith(b"ready\n"):
        return Survey(json.loads(data[len(b"ready\n") :]))
    texts: dict[str, str] = {}
    lines: dict[str, list[list[str]]] = {"place": [], "agent": [], "uv": [], "candidate": []}
    while data:
        line, _, data = data.partition(b"\n")
        kind, *fields = line.decode("utf-8", "replace").split("\t", 3)
        if kind == "file":
            size = int(fields[1])
            texts[fields[0]] = data[:size].decode("utf-8")
            data = data[size + 1 :]
        else:
            lines[kind].append(fields)
    [[machine, key, root]] = lines["place"]
    candidates = tuple(described(path, int(status), answer) for status, path, answer in lines["candidate"])
    uv = lines["uv"][0][0] if lines["uv"] else None
    return Survey(None, machine, key, root, bool(lines["agent"]), uv, texts, candidates)
