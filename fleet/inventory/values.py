"""What a valid `fleet.json` says, as frozen values: instances merged with the defaults, each value with its origin.

They are made without pydantic, from the file just checked or from the cache, because every command starts with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

#: The origin of a value that the file does not name.
DEFAULT: Final = "default"
Scalar: TypeAlias = str | int | float | bool | None
Role: TypeAlias = Literal["training", "eval", "spare", "jump"]


@dataclass(frozen=True, slots=True)
class Address:
    """A host on the way that is no instance: `user@host:port`."""

    user: str
    host: str
    port: int | None


#: One host on the way: the name of an instance, or an address.
Hop: TypeAlias = str | Address


@dataclass(frozen=True, slots=True)
class Secrets:
    """Names of secrets that runs get, and the local file (as written) that holds their values."""

    file: str
    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Uv:
    """A local binary of uv (path as written) and its SHA-256 in hex."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Watchdog:
    """Timings of a connection, in seconds: between pings, and without an answer until it counts as dead."""

    interval: float
    limit: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Releases kept, GiB that stay free on the host, MiB above which a deploy is refused."""

    keep_releases: int
    min_free_gib: float
    max_upload_mib: int


@dataclass(frozen=True, slots=True)
class Instance:
    """One host. None means that the SSH configuration decides."""

    name: str
    host: str
    port: int | None
    user: str | None
    identity: str | None
    """Path of a private key as written; see `Inventory.file`."""
    jump: tuple[Hop, ...]
    host_key: str | None
    python: str
    deploy_dir: str
    env: Mapping[str, str]
    gpu: str
    gpus: tuple[int, ...] | Literal["all"]
    overrides: Mapping[str, Scalar]
    """Path of a setting in the manifest -> value, nested objects written out."""
    role: Role
    secrets: Secrets | None
    uv: Uv | None
    watchdog: Watchdog
    limits: Limits
    origins: Mapping[str, str]
    """`port`, `env.OMP_NUM_THREADS`, `limits.keep_releases` -> `fleet.json instances.box.port` or `default`."""


@dataclass(frozen=True, slots=True)
class Group:
    """Instances that train one run together."""

    name: str
    members: tuple[str, ...]
    """In the order of the node ranks: the master first."""
    master: str
    master_port: int
    lead_port: int
    interface: str
    spares: tuple[str, ...]
    shared_storage: bool
    env: Mapping[str, str]
    overrides: Mapping[str, Scalar]
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events of some kinds are sent; the address is the secret of that name."""

    url_env: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that a `fleet.json` says."""

    path: Path
    project: str
    instances: Mapping[str, Instance]
    groups: Mapping[str, Group]
    notify: Webhook | None

    def file(self, written: str) -> Path:
        """A local path as the file writes it: absolute, below `~/`, or beside the file."""
        return self.path.parent / Path(written).expanduser()

    def route(self, instance: Instance) -> tuple[Instance | Address, ...]:
        """The hosts on the way to an instance, in order.

        The first one is reached the way its own `jump` says; every other one through the one before it, as with
        OpenSSH's ProxyJump.
        """
        way = tuple(self.instances[hop] if isinstance(hop, str) else hop for hop in instance.jump)
        if way and isinstance(way[0], Instance):
            return (*self.route(way[0]), *way)
        return way


def inherited(origin: str) -> bool:
    """Whether a value with this origin comes from the defaults of the file."""
    return origin.rpartition(" ")[2].startswith("defaults.")
