"""Known-hosts files: their lines, and which of them speak of a host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
from pathlib import Path
from typing import NamedTuple

from fleet.ssh.configfile import matches

REVOKED = "@revoked"
AUTHORITY = "@cert-authority"


class HostKey(NamedTuple):
    """A public key as the protocol carries it."""

    kind: str
    """`ssh-ed25519` and so on."""
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:...`, as OpenSSH prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return "SHA256:" + digest.rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


class Entry(NamedTuple):
    """One line of a known-hosts file."""

    marker: str
    """Empty, `@revoked` or `@cert-authority`."""
    names: str
    key: HostKey
    where: str
    """`file:line`, for messages."""

    def speaks_of(self, name: str) -> bool:
        """Whether the line is about this host, `name` or `[name]:port`, in clear or hashed."""
        if not self.names.startswith("|1|"):
            return matches(self.names.lower().split(","), name)
        _, _, salt, digest = (*self.names.split("|"), "", "", "")[:4]
        try:
            expected = base64.b64decode(digest)
            return hmac.compare_digest(hmac.digest(base64.b64decode(salt), name.encode(), "sha1"), expected)
        except binascii.Error:
            return False


def read_entries(path: Path) -> tuple[Entry, ...]:
    """The entries of a file, read once until it changes; none if it is missing. Unreadable lines are left out."""
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()
    return _read(path, state.st_mtime_ns, state.st_size, state.st_ino)


@functools.lru_cache(maxsize=64)
def _read(path: Path, modified: int, size: int, inode: int) -> tuple[Entry, ...]:
    """The other arguments make a changed file another one for the cache."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        return ()
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0] in {REVOKED, AUTHORITY} else ""
        if len(fields) >= 3 and (key := read_key(fields[1], fields[2])) is not None and fields[0][0] not in "#@":
            entries.append(Entry(marker, fields[0], key, f"{path}:{number}"))
    return tuple(entries)


def read_key(kind: str, text: str) -> HostKey | None:
    """A key as files hold it, its type and base64; None if that is no key."""
    try:
        return HostKey(kind, base64.b64decode(text, validate=True))
    except binascii.Error:
        return None
