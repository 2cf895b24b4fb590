"""What a user is told when a host's key is not accepted: the prints to compare, and the command to type."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fleet.errors import HostKeyRefused
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.knownhosts import HostKey

#: known: as expected. unknown: nothing is known of the host. changed: it is known with another key. pinned: the pin is
#: another key's. revoked: the key is listed as revoked. authority: only a certificate could prove the key.
Verdict = Literal["known", "unknown", "changed", "pinned", "revoked", "authority"]
_COMPARE = "compare the print with the one on the host (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)"


def refused(verdict: Verdict, endpoint: Endpoint, name: str, key: HostKey, known: str) -> HostKeyRefused:
    """The error for a key with this verdict; `name` is the host in known-hosts files, `known` its known keys."""
    host = endpoint.name if endpoint.name == name else f"{endpoint.name} ({name})"
    if verdict == "unknown":
        return HostKeyRefused(
            f"the host key of {host} is unknown: {key}",
            why="no known-hosts file mentions this host, and nothing is sent to a host that could be another one",
            fix=f"{_COMPARE}, then trust it: {endpoint.trust_command}",
            example=f"{endpoint.trust_command} --fingerprint {key.fingerprint} --yes",
            host=endpoint.name,
        )
    if verdict == "changed":
        return HostKeyRefused(
            f"the host key of {host} has changed: it is now {key}; known is {known}",
            why="the host was installed anew, its address belongs to another host now, or somebody is in between",
            fix=f"{_COMPARE}, then replace the known one: {endpoint.trust_command} --replace",
            example=f"{endpoint.trust_command} --replace --fingerprint {key.fingerprint}",
            host=endpoint.name,
        )
    if verdict == "pinned":
        return HostKeyRefused(
            f"the host key of {host} is not the pinned one: it is {key}; fleet.json pins {endpoint.host_key}",
            why="a pin beats every known-hosts file, so `fleet trust` cannot change it",
            fix=f'{_COMPARE}, then correct or remove "host_key" of {endpoint.name} in fleet.json',
            example=f'"host_key": "{key.fingerprint}"',
            host=endpoint.name,
        )
    if verdict == "revoked":
        return HostKeyRefused(
            f"the host key of {host} is revoked: {key}",
            why="a known-hosts file or RevokedHostKeys lists it as no longer trustworthy",
            fix="give the host another key and trust that one; a revoked key is never accepted",
            example="ssh-keygen -A   # on the host, after removing the old keys from /etc/ssh",
            host=endpoint.name,
        )
    return HostKeyRefused(
        f"the host key of {host} cannot be verified: {key}; known is a certificate authority: {known}",
        why="only a host certificate could prove the key, and fleet's SSH library cannot verify certificates",
        fix=f"{_COMPARE}, then trust the key itself: {endpoint.trust_command}",
        example=f"{endpoint.trust_command} --fingerprint {key.fingerprint} --yes",
        host=endpoint.name,
    )


def unreadable(endpoint: Endpoint, path: Path, reason: str) -> HostKeyRefused:
    """The error for a list of revoked keys that cannot be followed."""
    return HostKeyRefused(
        f"the host key of {endpoint.name} cannot be checked against {path}: {reason}",
        why="RevokedHostKeys names this file, and a key that might be revoked is not accepted",
        fix="make it a readable list of public keys, one on each line, or remove the option for this host",
        example="RevokedHostKeys ~/.ssh/revoked.pub",
        host=endpoint.name,
    )
