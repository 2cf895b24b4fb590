"""Ed25519 key pairs in OpenSSH's own format, made in this process: a hundred hosts need a hundred keys at once."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


@dataclass(frozen=True)
class Key:
    """A key pair on disk: `path` (0600) and `path`.pub."""

    path: Path
    public: str
    """`ssh-ed25519 AAAA...`, without a comment."""

    @property
    def fingerprint(self) -> str:
        """`SHA256:...`, as `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.public.split()[1])).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def make_key(path: Path) -> Key:
    """Make a key pair, replacing the one that is there."""
    private = Ed25519PrivateKey.generate()
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    path.with_name(path.name + ".pub").write_text(f"{public}\n")
    return Key(path, public)
