"""What a set-up would do on a host, found out without changing anything there: this is also its dry run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet.environment.identity import Identity, Mode
from fleet.environment.interpreter import Choice, Wish, choose
from fleet.environment.lock import Lock, read_lock, reusable
from fleet.environment.ready import Ready
from fleet.environment.survey import Request, Survey, look
from fleet.errors import Blocked
from fleet.remote.archive import archive
from fleet.ssh import Deadline, Transport


@dataclass(frozen=True, slots=True)
class PinnedUv:
    """A uv binary on this side that may be sent to hosts without one."""

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        """Its file name under `tools/`."""
        return f"uv-{self.sha256[:16]}"


@dataclass(frozen=True, slots=True)
class Build:
    """An environment that is not there yet, or whose record must be written for this request."""

    survey: Survey
    choice: Choice
    lock: Lock
    mode: Mode
    environment: str
    uv: str | None
    """Path on the host, where it will be after sending if it must be sent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Either what is ready, or what would be built."""

    ready: Ready | None
    build: Build | None

    def steps(self) -> tuple[str, ...]:
        """The plan in words, one line each, in order."""
        if self.build is None:
            assert self.ready is not None
            return (f"environment {self.ready.environment} is ready: {self.ready.reason}",)
        todo = self.build
        lines = [f"not taken: {line}" for line in todo.choice.rejected]
        lines.append(f"{todo.mode}: {todo.choice.reason}")
        lines.append(f"packages: {todo.lock.pinned}")
        if todo.mode == "uv" and todo.uv != todo.survey.uv:
            lines.append(f"send uv to {todo.uv}")
        return (*lines, f"build {todo.survey.root}/envs/{todo.environment} unless it is complete")


def plan(
    transport: Transport,
    deploy_dir: str,
    release: str,
    *,
    python: str = "auto",
    mode: Wish = "auto",
    uv: PinnedUv | None = None,
    offline: bool = False,
    recreate: bool = False,
    extras: Sequence[str] = (),
    deadline: Deadline,
) -> Plan:
    """Look at the host once and decide. Raises what `setup` raises before it changes anything."""
    start = time.monotonic()
    request = Request(release, python, mode, tuple(extras), uv.name if uv else "-", recreate)
    agent = archive()[1][:16] + ".pyz"
    survey = look(transport, deploy_dir, request, agent, deadline)
    if survey.ready is not None:
        return Plan(Ready.of(survey.ready, "ready", time.monotonic() - start), None)
    assert survey.files is not None
    # uv would leave out neither torch nor the index.
    tool = survey.uv or (f"{survey.root}/tools/{uv.name}" if uv else None)
    from fleet.remote.env_install import bundled_pip

    with_uv = tool is not None and not offline
    any_tool = bundled_pip() is not None or (with_uv and "uv.lock" in survey.files)
    leaves_torch = reusable(survey.files)
    choice = choose(transport.name, survey.candidates, mode, reusable=leaves_torch, tool=any_tool)
    usable = with_uv and not choice.reuse
    lock = read_lock(transport.name, survey.files, uv=usable, extras=extras)
    how: Mode = "reuse" if choice.reuse else "uv" if lock.kind == "uv" else "pip"
    return Plan(
        None, Build(survey, choice, lock, how, _identity(choice, lock, how, extras), tool if how == "uv" else None)
    )


def _identity(choice: Choice, lock: Lock, mode: Mode, extras: Sequence[str]) -> str:
    one = choice.interpreter
    return Identity(
        lock=lock.digest,
        python=one.version,
        platform=f"{one.platform} {one.libc}".strip(),
        extras=tuple(sorted(set(extras))),
        mode=mode,
        interpreter=one.real,
        base=one.reused() if choice.reuse else None,
    ).environment_id()


def refuse_unknown_libc(host: str, build: Build) -> None:
    """Raise Blocked where wheels cannot be gathered from elsewhere: their names say which C library they fit."""
    if not build.choice.interpreter.libc.startswith("glibc "):
        raise Blocked(
            f"{host}: wheels cannot be gathered for {build.choice.interpreter.described()}",
            why=f"its C library is {build.choice.interpreter.libc or 'not glibc'}; torch has wheels for glibc alone",
            fix="set this host up with its own index, or reuse a torch that is there",
            example=f"fleet setup {host}",
            host=host,
        )
