"""The launch request: what a supervisor is told, checked field by field before anything happens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fleet.remote.fields import NAME, RUN_ID, VARIABLE, Fields
from fleet.remote.refusal import usage

#: Stands in `resume_argv` for the run directory, alone or followed by `@STEP`.
RUN_DIR = "{run_dir}"
#: Stands anywhere in a word for deploy_dir, as this host resolves it.
DEPLOY_DIR = "{deploy_dir}"
#: Seconds before each restart of a rolling hour; the last one is used for all that follow.
WAITS = (10.0, 30.0, 90.0)

_UUID = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEX = re.compile(r"[0-9a-f]{16,128}")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,32}")
_OURS = ("FLEET_", "TORCHELASTIC_")


@dataclass(frozen=True)
class Gpu:
    """A device of the host that the run may use."""

    index: int
    uuid: str


@dataclass(frozen=True)
class Node:
    """A host of a group and the address at which the others reach it."""

    name: str
    address: str


@dataclass(frozen=True)
class GroupLaunch:
    """The part of a request that only runs on several hosts have."""

    node_rank: int
    nodes: tuple[Node, ...]
    master_address: str
    master_port: int
    lead_port: int
    token: str
    """Secret of this run, with which its supervisors prove themselves to each other."""
    interface: str | None


@dataclass(frozen=True)
class Launch:
    """A checked request. Paths are as they were given; `fleet.remote.places` resolves them."""

    run: str
    name: str
    attempt: int
    """The attempt to begin; of a resumed run, one that was not made yet."""
    deploy_dir: str
    release: str | None
    """Id of the release; null means what `current` points to."""
    environment: str | None
    python: str
    argv: tuple[str, ...]
    """What follows the interpreter."""
    resume_argv: tuple[str, ...]
    """The same for a run directory that holds a manifest already."""
    restart_argv: tuple[str, ...]
    """The same for restarts after an attempt that got as far as training; `resume_argv` unless given. It differs when
    a resume changes settings, which must be said once and not again."""
    env: dict[str, str]
    secrets: str | None
    gpus: tuple[Gpu, ...]
    nproc: int
    max_restarts: int
    waits: tuple[float, ...]
    """Seconds before the first, second, ... restart."""
    grace: float
    """Seconds that the trainer has to save when it is stopped."""
    confirm_seconds: float
    resume: bool
    record: dict[str, Any]
    group: GroupLaunch | None

    @property
    def node_rank(self) -> int:
        """Rank of this host in its group; 0 without one."""
        return 0 if self.group is None else self.group.node_rank

    @property
    def node_count(self) -> int:
        """Hosts of the run."""
        return 1 if self.group is None else len(self.group.nodes)

    @property
    def launched(self) -> bool:
        """Whether a launcher starts the trainer's ranks."""
        return self.nproc > 1 or self.group is not None

    @classmethod
    def parse(cls, request: Any) -> Launch:
        """Check a request. Raises Refusal of kind usage, naming the field."""
        fields = Fields(request, "launch")
        fields.whole("schema", 1, 1)
        resume_argv = fields.words("resume_argv")
        group = fields.table("group") if request.get("group") is not None else None
        if group is None:
            fields.optional("group")
        launch = cls(
            run=fields.text("run", RUN_ID),
            name=fields.text("name"),
            attempt=fields.whole("attempt", 1, 1 << 31, 1),
            deploy_dir=fields.text("deploy_dir"),
            release=fields.optional("release", NAME),
            environment=fields.optional("environment", NAME),
            python=fields.text("python"),
            argv=fields.words("argv"),
            resume_argv=resume_argv,
            restart_argv=fields.words("restart_argv", resume_argv),
            env=_variables(fields.table("env", {})),
            secrets=fields.optional("secrets", NAME),
            gpus=tuple(_gpu(row) for row in fields.rows("gpus", [])),
            nproc=fields.whole("nproc", 1, 1024, 1),
            max_restarts=fields.whole("max_restarts", 0, 1 << 20, 3),
            waits=fields.durations("waits", WAITS),
            grace=fields.seconds("grace", 60),
            confirm_seconds=fields.seconds("confirm_seconds", 10),
            resume=fields.flag("resume", False),
            record=fields.table("record", {}),
            group=None if group is None else _group(Fields(group, "launch.group")),
        )
        fields.finish()
        launch._check_whole()
        return launch

    def _check_whole(self) -> None:
        if not self.argv or not self.resume_argv or not self.restart_argv:
            raise usage(
                "launch.argv, launch.resume_argv or launch.restart_argv is empty",
                why="without a program there is nothing to run",
                fix="give the trainer's script and its arguments",
                example='"argv": ["trainer.py", "manifests/default.yaml"]',
            )
        if len({gpu.uuid for gpu in self.gpus}) < len(self.gpus):
            raise usage(
                "launch.gpus names a device twice",
                why="two ranks on one device would share its memory",
                fix="list each device once",
                example='"gpus": [{"index": 0, "uuid": "GPU-1"}, {"index": 1, "uuid": "GPU-2"}]',
            )


def _variables(values: dict[str, Any]) -> dict[str, str]:
    for name, value in values.items():
        ours = name.startswith(_OURS)
        if ours or not VARIABLE.fullmatch(name) or not isinstance(value, str) or "\0" in value:
            raise usage(
                f"launch.env.{name} cannot be given to a run",
                why="the supervisor sets that itself" if ours else "names are A-Z, 0-9 and _, values are text",
                fix="leave it out" if ours else "rename it",
                example='"env": {"OMP_NUM_THREADS": "8"}',
            )
    return dict(values)


def _gpu(row: Fields) -> Gpu:
    gpu = Gpu(row.whole("index", 0, 1 << 16), row.text("uuid", _UUID))
    row.finish()
    return gpu


def _group(fields: Fields) -> GroupLaunch:
    nodes = []
    for row in fields.rows("nodes"):
        nodes.append(Node(row.text("name", NAME), row.text("address", _ADDRESS)))
        row.finish()
    group = GroupLaunch(
        node_rank=fields.whole("node_rank", 0, max(0, len(nodes) - 1)),
        nodes=tuple(nodes),
        master_address=fields.text("master_address", _ADDRESS),
        master_port=fields.whole("master_port", 1, 65535),
        lead_port=fields.whole("lead_port", 1, 65535),
        token=fields.text("token", _HEX),
        interface=fields.optional("interface", _INTERFACE),
    )
    fields.finish()
    return group
