"""The user's private keys: those in files, each read and unlocked once, and those that an agent holds."""

from __future__ import annotations

import base64
import binascii
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import AuthenticationFailed
from fleet.ssh.configuration import Settings
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.wire import agent_keys, paramiko

#: Asks the user for a secret; None if nobody can be asked.
Ask = Callable[[str], str | None]
_MAGIC = b"openssh-key-v1\0"
_TRIES = 3


def ask_on_terminal(prompt: str) -> str | None:
    """Ask without echo, if there is a terminal."""
    if not sys.stdin.isatty():
        return None
    import getpass

    return getpass.getpass(prompt)


@dataclass(frozen=True, slots=True)
class Offer:
    """A key to offer, and what to call it in a message."""

    label: str
    key: paramiko.PKey


class KeyRing:
    """The keys of one process. Threads share it, so a passphrase is asked once, whatever the number of hosts."""

    def __init__(self, ask: Ask = ask_on_terminal) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._loaded: dict[Path, paramiko.PKey] = {}

    def offers(self, endpoint: Endpoint, settings: Settings) -> Iterator[Offer]:
        """The keys to offer, in order: agent keys that are also configured, other agent keys, files.

        With `IdentitiesOnly`, or a pinned identity, only configured keys are offered, from the agent or from files.
        Lazily, since unlocking a key may need a person. Raises AuthenticationFailed for a pinned one without a use.
        """
        files = [path for path in settings.identities if path.is_file() or path == endpoint.identity]
        plain = [path for path in files if not self._locked(path)]
        # An agent is asked only if it could matter: it holds other keys, or unlocks one of these.
        needed = len(plain) < len(files) or not settings.identities_only
        held = agent_keys(settings.agent) if needed and settings.agent != "none" else ()
        configured = {blob: path for path in files if (blob := public_blob(path)) is not None}
        for key in sorted(held, key=lambda key: key.asbytes() not in configured):
            if key.asbytes() in configured or not settings.identities_only:
                yield Offer(f"agent key {key.comment or key.get_name()}", key)
        in_agent = {configured[key.asbytes()] for key in held if key.asbytes() in configured}
        for path in files:
            if path not in in_agent:
                yield Offer(f"identity {path}", self.load(path))

    def load(self, path: Path) -> paramiko.PKey:
        """A private key of a file. Raises AuthenticationFailed if it cannot be used."""
        with self._lock:
            if path not in self._loaded:
                self._loaded[path] = self._unlock(path)
            return self._loaded[path]

    def _unlock(self, path: Path) -> paramiko.PKey:
        try:
            if not _encrypted(path):
                return _read(path, None)
            for _ in range(_TRIES):
                passphrase = self._ask(f"Passphrase for {path}: ")
                if passphrase is None:
                    raise _unusable(path, "it is encrypted, no agent holds it, and there is no terminal to ask on")
                if (key := _try(path, passphrase)) is not None:
                    return key
        except (OSError, ValueError, TypeError, paramiko.SSHException) as error:
            raise _unusable(path, str(error) or type(error).__name__) from error
        raise _unusable(path, "that is not its passphrase")
