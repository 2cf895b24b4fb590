"""What a private key's file tells without being unlocked: whether it is encrypted, and its public key."""

from __future__ import annotations

import base64
import binascii
import struct
from pathlib import Path
from typing import Literal, NamedTuple

_MAGIC = b"openssh-key-v1\0"
_BEGIN, _END = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END"


class KeyFile(NamedTuple):
    """One identity, still locked."""

    path: Path
    lock: Literal["open", "passphrase", "elsewhere"]
    """What it takes to use it: nothing, its passphrase, or an agent, since only the public key is here."""
    public: bytes | None
    """Public key as the protocol carries it; None if only the private part would tell."""

    @classmethod
    def read(cls, path: Path) -> KeyFile | None:
        """Look at an identity's file and the public key beside it; None if there is neither. Raises OSError."""
        if not path.is_file():
            public = _public(_beside(path))
            return None if public is None else cls(path, "elsewhere", public)
        content = path.read_bytes()
        _, begun, container = content.partition(_BEGIN)
        if begun:
            cipher, public = _opened(container.partition(_END)[0])
            return cls(path, "open" if cipher == b"none" else "passphrase", public)
        if (public := _public(path)) is not None:
            return cls(path, "elsewhere", public)
        # The older formats keep the public key to themselves, and say in a header that they are encrypted.
        return cls(path, "passphrase" if b"ENCRYPTED" in content else "open", _public(_beside(path)))


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".pub")


def _public(path: Path) -> bytes | None:
    """The key in a public key's file: `type base64 comment`."""
    try:
        words = path.read_bytes().split(maxsplit=2)
    except OSError:
        return None
    try:
        blob = base64.b64decode(words[1], validate=True) if len(words) > 1 else b""
    except binascii.Error:
        return None
    return blob if words and blob[4:].startswith(words[0]) else None


def _opened(text: bytes) -> tuple[bytes, bytes | None]:
    """Cipher and public key of OpenSSH's own format, which keeps both in clear (PROTOCOL.key)."""
    try:
        rest = base64.b64decode(text).removeprefix(_MAGIC)
        cipher, rest = _string(rest)
        _, rest = _string(rest)
        _, rest = _string(rest)
        public, _ = _string(rest[4:])
    except (binascii.Error, struct.error):
        return b"none", None
    return cipher, public


def _string(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack_from(">I", data)
    return data[4 : 4 + size], data[4 + size :]
