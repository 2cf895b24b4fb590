"""The command line with which OpenSSH's client reaches a host as `fleet` does: same keys of hosts, same ways."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path

from fleet.ssh.configuration import Settings, effective
from fleet.ssh.deadline import Deadline
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.hostkeys import Expectation
from fleet.ssh.pool import Pool
from fleet.ssh.refusals import refused
from fleet.ssh.route import previous


def ssh_command(ssh: str, endpoint: Endpoint, pool: Pool, deadline: Deadline) -> list[str]:
    """`ssh` with all options and the host, ready for a command to be appended.

    A host whose key no file holds, since it is pinned, is asked for its key first. Raises HostKeyRefused for a host
    that is not to be trusted, and what asking can raise.
    """
    settings = effective(endpoint)
    options = [] if endpoint.ssh_config is None else ["-F", str(endpoint.ssh_config)]
    options += ["-p", str(settings.port), "-l", settings.user]
    options += _trusting(endpoint, settings, pool, deadline)
    if endpoint.identity is not None:
        options += ["-i", str(settings.identities[0]), "-o", "IdentitiesOnly=yes"]
    hop = previous(endpoint, settings)
    if hop is not None:
        # ProxyJump would check the hop's key against the user's own files only.
        inner = [*ssh_command(ssh, hop, pool, deadline)[:-1], "-W", f"[{settings.hostname}]:{settings.port}", hop.host]
        options += ["-o", "ProxyCommand=" + shlex.join(inner).replace("%", "%%")]
    return [ssh, *options, endpoint.host]


def _trusting(endpoint: Endpoint, settings: Settings, pool: Pool, deadline: Deadline) -> list[str]:
    """Options for strict checking against the files that decide for this host, or against the pinned key alone."""
    expectation = Expectation.of(endpoint, settings)
    for entry in expectation.entries:
        if entry.key in expectation.revoked:
            raise refused("revoked", endpoint, expectation.name, entry.key, "")
    files = expectation.files
    if endpoint.host_key is not None or not files:
        presented = pool.presented(endpoint, deadline)
        expectation.check(presented.key)
        text = f"{presented.name} {presented.kind} {base64.b64encode(presented.key.blob).decode()}\n"
        files = (_pin_file(endpoint.known_hosts[0].parent, presented.fingerprint, text),)
    quoted = " ".join(f'"{path}"' for path in files)
    settled = {"UserKnownHostsFile": quoted, "GlobalKnownHostsFile": "none", "StrictHostKeyChecking": "yes"}
    # OpenSSH would otherwise write what it learns into fleet's file.
    settled["UpdateHostKeys"] = "no"
    return [part for name, value in settled.items() for part in ("-o", f"{name}={value}")]


def _pin_file(folder: Path, fingerprint: str, text: str) -> Path:
    """A known-hosts file with one key, named after it: OpenSSH knows no pins by fingerprint."""
    path = folder / "cache" / ("pin-" + fingerprint.removeprefix("SHA256:").replace("/", "_"))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
