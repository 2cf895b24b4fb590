"""Runs the builder on a host and follows it to its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet.environment.interpreter import OLDEST_TORCH, PROBE_SECONDS
from fleet.environment.plan import Build
from fleet.environment.wheelhouse import Wheel
from fleet.errors import Busy, DeadlinePassed, FleetError, RemoteFailed, Unverified
from fleet.remote.archive import archive
from fleet.ssh import Cmd, Deadline, Output, Transport

_BOOT: Final = "import sys; sys.path.insert(0, sys.argv[1]); from fleet.remote.env_build import main; main()"
#: Nothing that this side starts outlives it by more than an hour, whatever becomes of the link.
_LONGEST: Final = 3600.0
_KINDS: Final[dict[str, type[FleetError]]] = {
    kind.kind: kind for kind in (Busy, RemoteFailed, Unverified, DeadlinePassed)
}


@dataclass(frozen=True, slots=True)
class Sent:
    """What was brought to the host for a build."""

    pip: str | None
    """Path of a wheel of pip there, where the host has none."""
    wheels: tuple[Wheel, ...] | None
    """The only packages to install from, or None where the host has an index."""


def request(
    build: Build, release: str, extras: Sequence[str], sent: Sent, recreate: bool, seconds: float
) -> dict[str, Any]:
    """What the builder is told. Nothing in it is secret: it is an argument of a process."""
    one = build.choice.interpreter
    return {
        "root": build.survey.root,
        "machine": build.survey.machine,
        "key": build.survey.key,
        "environment": build.environment,
        "release": release,
        "mode": build.mode,
        "lock": build.lock.kind,
        "requirements": build.lock.requirements,
        "pins": None if build.lock.pins is None else sorted(build.lock.pins),
        "extras": sorted(set(extras)),
        "uv": build.uv,
        "pip": sent.pip,
        "wheels": None if sent.wheels is None else [wheel.told() for wheel in sent.wheels],
        "recreate": recreate,
        "seconds": min(seconds, _LONGEST),
        "torch": OLDEST_TORCH,
        "probe_seconds": PROBE_SECONDS,
        "base": {name: value for name, value in one.facts.items() if name not in {"markers", "build"}},
        "record": {
            "reason": build.choice.reason,
            "rejected": build.choice.rejected,
            "pinned": build.lock.pinned,
            "lock_digest": build.lock.digest,
        },
    }


def run_builder(
    transport: Transport, build: Build, asked: Mapping[str, Any], deadline: Deadline, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Build and return the environment's record with `action`.

    Raises Busy, RemoteFailed or Unverified in the installer's own words, and what the transport raises. When this side
    gives up, the command's stdin ends and with it the build.
    """
    agent = f"{build.survey.root}/tools/{archive()[1][:16]}.pyz"
    cmd = Cmd((build.choice.interpreter.path, "-I", "-c", _BOOT, agent, json.dumps(asked)))
    answer: dict[str, Any] = {}
    with transport.stream_out(cmd, deadline=deadline) as output:
        for message in _messages(output):
            if "progress" in message:
                tell(message["progress"])
            else:
                answer = message
            # Some transports know no deadline while they wait for output.
            deadline.check(f"setting up {transport.name}")
        result = output.result()
    log = f"{build.survey.root}/envs/{build.environment}.log"
    if "ready" in answer:
        ready = answer["ready"]
        assert isinstance(ready, dict)
        return ready
    if "error" in answer:
        parts = answer["error"]
        raise _KINDS.get(parts["kind"], RemoteFailed)(
            f"{transport.name}: {parts['what']}",
            why=f"{parts['why']} (build log: {log})",
            fix=parts["fix"],
            example=f"fleet run {transport.name} -- tail -n 40 {log}",
            host=transport.name,
        )
    words = result.err.decode("utf-8", "replace").strip().splitlines()[-3:]
    raise RemoteFailed(
        f"{transport.name}: the build ended without an answer (status {result.rc}): {' | '.join(words) or 'no words'}",
        why=f"it was killed, perhaps for lack of memory (build log: {log})",
        fix="run the same command again: an incomplete environment is built anew",
        example=f"fleet setup {transport.name}",
        host=transport.name,
    )


def _messages(output: Output) -> Iterator[dict[str, Any]]:
    """Whole lines of JSON; anything else is not the builder's."""
    rest = b""
    for piece in output:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                yield json.loads(line)
