"""The environment of the processes that a supervisor starts: its own, the run's identity, settings and secrets.

The only module on a host that looks at the environment. Secrets are parsed from their file, never given to a shell.
"""

from __future__ import annotations

import os
import re
import stat

from fleet.remote.launch import Launch
from fleet.remote.places import DeployDir, RunFiles
from fleet.remote.refusal import Refusal

#: What a launcher tells its ranks. Left over in a login's environment, it would make a trainer wait for ranks that do
#: not exist.
_LAUNCHERS = frozenset(
    {"RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"}
    | {"ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT"}
)
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INHERITED_NOT = ("FLEET_", "TORCHELASTIC_")


def child_environment(launch: Launch, files: RunFiles, attempt: int, secrets: dict[str, str]) -> dict[str, str]:
    """The whole environment of the trainer or its launcher. Later entries beat earlier ones; fleet's beat all."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in _LAUNCHERS and not name.startswith(_INHERITED_NOT)
    }
    return {**inherited, **_settings(launch), **launch.env, **secrets, **_identity(launch, files, attempt)}


def read_secrets(home: DeployDir, name: str | None) -> dict[str, str]:
    """The variables of a set of secrets: `KEY=VALUE` lines, the value as it stands, up to the end of the line.

    Raises Refusal for a set that is absent, malformed or readable by others. No message holds a value.
    """
    if name is None:
        return {}
    path = os.path.join(home.path, "secrets", f"{name}.env")
    try:
        with open(path, "rb") as file:
            open_to_others = os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            text = file.read().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise _refused("not-found", f"secrets {name} cannot be read: {error.strerror}") from error
    if open_to_others:
        raise _refused("blocked", f"{path} can be read by other users")
    found = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not _SECRET.fullmatch(key) or "\0" in value:
            raise _refused("usage", f"{path}, line {number}, is not of the form KEY=VALUE")
        found[key] = value
    return found


def _settings(launch: Launch) -> dict[str, str]:
    """What the user may override."""
    settings = {"PYTHONUNBUFFERED": "1"}
    if launch.launched:
        # How long torchrun waits for its workers once it was told to end; ignored by versions that do not know it.
        settings["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(int(launch.grace) + 1)
    if launch.group is not None and launch.group.interface is not None:
        settings["GLOO_SOCKET_IFNAME"] = launch.group.interface
        # To NCCL a name alone is a beginning: eth1 would mean eth10 too.
        settings["NCCL_SOCKET_IFNAME"] = f"={launch.group.interface}"
    return settings


def _identity(launch: Launch, files: RunFiles, attempt: int) -> dict[str, str]:
    return {
        "FLEET_RUN_ID": launch.run,
        "FLEET_ATTEMPT": str(attempt),
        "FLEET_NODE_RANK": str(launch.node_rank),
        "FLEET_RUN_DIR": files.path,
        # Nothing is written beside the release's sources, and the byte code that packages bring is used: a cache of the
        # run's own would compile all of torch again at every start.
        "PYTHONDONTWRITEBYTECODE": "1",
        # By UUID, since indices depend on who asks; empty hides devices that this run did not reserve.
        "CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in launch.gpus),
    }


def _refused(kind: str, what: str) -> Refusal:
    return Refusal(
        kind,
        what,
        why="a run gets its secrets from a file that only its user can read",
        fix="send them again with a deploy",
        example="fleet deploy lab-a",
    )
