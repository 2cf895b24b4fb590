"""Where a host is and how it wants to be reached, as `fleet.json` says; OpenSSH's configuration fills the gaps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Watchdog:
    """When a silent peer counts as dead. The defaults suit a good link; a bad one wants more."""

    interval: float = 3.0
    """Seconds of silence after which the peer is asked whether it lives."""
    limit: float = 6.0
    """Seconds of silence after which the connection is given up."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host. What is None comes from OpenSSH's configuration, else from its defaults."""

    name: str
    """The host as the user calls it, in messages and in `fleet trust NAME`."""
    host: str
    """Name, address, or alias in the user's OpenSSH configuration."""
    port: int | None = None
    user: str | None = None
    identity: Path | None = None
    """Private key. If given, it is the only one that is offered."""
    jump: tuple[Endpoint, ...] = ()
    """Hops in the order in which they are passed. Every hop's key is verified too."""
    host_key: str | None = None
    """Pin, `SHA256:...`: beats every known-hosts file."""
    watchdog: Watchdog = Watchdog()
    known_hosts: tuple[Path, ...] = ()
    """The project's own known-hosts files, asked before the user's. `fleet trust` writes to the first."""
    ssh_config: Path | None = None
    """An OpenSSH configuration file to use instead of the user's and the system's."""
    trusted_as: str | None = None
    """For a hop that is no instance: the instance whose `fleet trust` also covers it."""

    @property
    def trust_command(self) -> str:
        """What a user types to trust this host's key."""
        return f"fleet trust {self.trusted_as or self.name}"
