"""One host of a farm as a test sees it, and the plain OpenSSH client to reach it with."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.farm.processes import Process, carrying


@dataclass(frozen=True)
class FarmHost:
    """Where a host listens, who may log in, and where its login folder is."""

    name: str
    address: str
    port: int
    user: str
    identity: Path
    """Private key that the host accepts."""
    home: Path
    """What `$HOME` is there, and where commands start."""
    host_key: str
    """`SHA256:...`"""
    known_hosts: Path
    log: Path
    """What sshd logged, at level VERBOSE."""

    def ssh_command(self, *options: str, program: str = "ssh") -> list[str]:
        """The OpenSSH client with this host's key material and nobody's configuration, for `ssh` or `rsync -e`.

        `program="scp"` gives the same for scp, whose port option is spelled otherwise.
        """
        found = shutil.which(program)
        if found is None:
            raise FileNotFoundError(f"no {program} on this machine (Debian and Ubuntu: apt-get install openssh-client)")
        given = {
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "none",
            "Port": self.port,
            "User": self.user,
        }
        settings = [part for name, value in given.items() for part in ("-o", f"{name}={value}")]
        return [found, "-F", "none", "-i", str(self.identity), *settings, *options]

    def ssh(self, command: str, *, stdin: bytes = b"", timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
        """Run one line of shell on the host."""
        argv = [*self.ssh_command(), self.address, command]
        return subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout)

    def processes(self) -> list[Process]:
        """What runs on this host for its user: every process that has this host's HOME, sshd itself excluded."""
        return carrying({"HOME": str(self.home)})
