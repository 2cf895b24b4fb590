"""What a run uses for its whole life, whatever is deployed meanwhile: resolved once, when it starts."""

from __future__ import annotations

import os
from typing import NamedTuple

from fleet.remote.identity import machine_id
from fleet.remote.launch import Launch
from fleet.remote.places import DeployDir
from fleet.remote.refusal import Refusal

#: Written last into an environment; a folder without it is half built.
READY = ".fleet-ready.json"


class Pinned(NamedTuple):
    """Real paths."""

    release: str
    environment: str | None
    python: str
    """The interpreter; not resolved further, because a virtual environment is found by the name of its link."""


def pin(launch: Launch, home: DeployDir) -> Pinned:
    """Resolve what a launch names, once. Raises Refusal of kind not-found for what is not there."""
    if launch.release is None:
        release = os.path.realpath(os.path.join(home.path, "hosts", machine_id(), "current"))
    else:
        release = os.path.realpath(os.path.join(home.path, "releases", launch.release))
    if not os.path.isdir(release):
        raise _absent(f"release {launch.release or 'current'} is not in {home.path}", "fleet deploy lab-a")
    environment = None
    if launch.environment is not None:
        environment = os.path.realpath(os.path.join(home.path, "envs", launch.environment))
        if not os.path.isfile(os.path.join(environment, READY)):
            raise _absent(f"environment {launch.environment} is not ready in {home.path}/envs", "fleet setup lab-a")
    python = launch.python if os.path.isabs(launch.python) else os.path.join(home.path, launch.python)
    if ".." in launch.python.split("/") or not os.access(python, os.X_OK) or os.path.isdir(python):
        raise _absent(f"{python} is no program that this user may run", "fleet setup lab-a")
    return Pinned(release, environment, python)


def _absent(what: str, example: str) -> Refusal:
    return Refusal(
        "not-found",
        what,
        why="a run is started from things that are complete on the host",
        fix="deploy and set up first",
        example=example,
    )
