"""Whether a host is who it says it is, decided before anything is said to it beyond the key exchange."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fleet.errors import HostKeyRefused
from fleet.ssh.configuration import Settings
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.knownhosts import AUTHORITY, REVOKED, Entry, HostKey, read_entries, read_key

if TYPE_CHECKING:
    from fleet.ssh.refusals import Verdict

#: Algorithms to ask a host for, in order of preference, and the type of key that each one proves.
ALGORITHMS = {
    "ssh-ed25519": "ssh-ed25519",
    "ecdsa-sha2-nistp256": "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384": "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521": "ecdsa-sha2-nistp521",
    "rsa-sha2-512": "ssh-rsa",
    "rsa-sha2-256": "ssh-rsa",
}


def lookup_name(settings: Settings) -> str:
    """What the host is called in known-hosts files: its alias, its name, or `[name]:port` on another port than 22."""
    if settings.host_key_alias is not None:
        return settings.host_key_alias.lower()
    return settings.hostname if settings.port == 22 else f"[{settings.hostname}]:{settings.port}"


class Expectation(NamedTuple):
    """What is known of a host's key before it is asked for it.

    The project's files, the user's and the system's are asked in this order, and the first that knows the host decides.
    A revoked key is refused whichever file says so, even if it is pinned.
    """

    endpoint: Endpoint
    name: str
    """As in known-hosts files."""
    entries: tuple[Entry, ...]
    """Of the files that decide."""
    revoked: tuple[HostKey, ...]
    files: tuple[Path, ...] = ()
    """The files that decide; none when no file knows the host."""

    @classmethod
    def of(cls, endpoint: Endpoint, settings: Settings) -> Expectation:
        """Read the files, which are kept in memory until they change."""
        name = lookup_name(settings)
        groups = (endpoint.known_hosts, settings.user_known_hosts, settings.system_known_hosts)
        found = [[entry for path in group for entry in read_entries(path) if entry.speaks_of(name)] for group in groups]
        revoked = [entry.key for group in found for entry in group if entry.marker == REVOKED]
        revoked += _revoked_file(endpoint, settings.revoked)
        trusting = [tuple(entry for entry in group if entry.marker != REVOKED) for group in found]
        first = next((index for index, group in enumerate(trusting) if group), None)
        if first is None:
            return cls(endpoint, name, (), tuple(revoked))
        return cls(endpoint, name, trusting[first], tuple(revoked), groups[first])

    def algorithms(self) -> tuple[str, ...]:
        """What to ask the host for: first the types of key that could be accepted, or it would show another one."""
        pin = self.endpoint.host_key
        keys = [entry.key for entry in self.entries if entry.marker != AUTHORITY]
        wanted = {key.kind for key in keys if pin is None or key.fingerprint == pin}
        return tuple(sorted(ALGORITHMS, key=lambda name: ALGORITHMS[name] not in wanted))

    def judge(self, key: HostKey) -> Verdict:
        """What to think of the key that the host presented."""
        if key in self.revoked:
            return "revoked"
        if self.endpoint.host_key is not None:
            return "known" if key.fingerprint == self.endpoint.host_key else "pinned"
        plain = [entry.key for entry in self.entries if entry.marker != AUTHORITY]
        if key in plain:
            return "known"
        if plain:
            return "changed"
        return "authority" if self.entries else "unknown"

    def check(self, key: HostKey) -> None:
        """Raise HostKeyRefused unless the key is the expected one."""
        verdict = self.judge(key)
        if verdict != "known":
            from fleet.ssh.refusals import refused

            raise refused(verdict, self.endpoint, self.name, key, self.known())

    def known(self) -> str:
        """The keys that are known of the host, with the lines that say so."""
        return ", ".join(f"{entry.key} ({entry.where})" for entry in self.entries)


def _revoked_file(endpoint: Endpoint, path: Path | None) -> list[HostKey]:
    """The keys of the file of `RevokedHostKeys`. One that cannot be read refuses every host, as with OpenSSH."""
    if path is None:
        return []
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(endpoint, path, error.strerror or str(error)) from error
    if content.startswith(b"SSHKRL\n"):
        raise _unreadable(endpoint, path, "it is a binary revocation list, and fleet reads lists of keys only")
    pairs = (line.split()[:2] for line in content.decode(errors="replace").splitlines())
    return [key for pair in pairs if len(pair) == 2 and (key := read_key(*pair)) is not None]


def _unreadable(endpoint: Endpoint, path: Path, reason: str) -> HostKeyRefused:
    from fleet.ssh.refusals import unreadable

    return unreadable(endpoint, path, reason)
