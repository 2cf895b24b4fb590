"""The user's private keys: those in files, each read and unlocked once, and those that an agent holds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fleet.errors import AuthenticationFailed
from fleet.ssh.configuration import Settings
from fleet.ssh.keyfiles import KeyFile

if TYPE_CHECKING:
    from fleet.ssh.wire import paramiko

#: Asks the user for a secret; None if nobody can be asked.
Ask = Callable[[str], str | None]
_TRIES = 3


def ask_on_terminal(prompt: str) -> str | None:
    """Ask without echo, if there is a terminal."""
    if not sys.stdin.isatty():
        return None
    import getpass

    return getpass.getpass(prompt)


class Offer(NamedTuple):
    """A key that can be offered."""

    label: str
    """What to call it in a message."""
    load: Callable[[], paramiko.PKey]
    """Read and unlock it. Raises AuthenticationFailed if that cannot be done."""


class KeyRing:
    """The keys of one process. Threads share it, so a passphrase is asked once, whatever the number of hosts."""

    def __init__(self, ask: Ask = ask_on_terminal, ask_password: Ask | None = None) -> None:
        """`ask` is for passphrases of keys; passwords of hosts are only used if `ask_password` is given."""
        self._ask = ask
        self.ask_password = ask_password
        self._lock = threading.Lock()
        self._loaded: dict[Path, paramiko.PKey] = {}

    def offers(self, settings: Settings) -> Iterator[Offer]:
        """The keys to offer, in order: agent keys that are also configured, other agent keys, files.

        With `IdentitiesOnly`, which a pinned identity implies, only configured keys are offered, by the agent or from
        their files. The agent is asked only where it can matter.
        """
        from fleet.ssh.wire import agent_keys

        files = [file for path in settings.identities if (file := KeyFile.read(path)) is not None]
        ask_agent = not settings.identities_only or any(file.lock != "open" for file in files)
        held = agent_keys(settings.agent) if ask_agent and settings.agent != "none" else ()
        configured = {file.public for file in files} - {None}
        wanted = [key for key in held if key.asbytes() in configured]
        others = [] if settings.identities_only else [key for key in held if key.asbytes() not in configured]
        for key in (*wanted, *others):
            yield Offer(f"agent key {key.comment or key.get_name()}", lambda key=key: key)  # type: ignore[misc]
        in_agent = {key.asbytes() for key in wanted}
        for file in files:
            if file.public not in in_agent:
                yield Offer(f"identity {file.path}", lambda file=file: self._load(file))  # type: ignore[misc]

    def _load(self, file: KeyFile) -> paramiko.PKey:
        with self._lock:
            if file.path not in self._loaded:
                self._loaded[file.path] = self._unlock(file)
            return self._loaded[file.path]

    def _unlock(self, file: KeyFile) -> paramiko.PKey:
        if file.lock == "elsewhere":
            raise _unusable(file.path, "only its public key is here, and no agent holds the private one")
        if file.lock == "open":
            return _read(file.path, None)
        for left in reversed(range(_TRIES)):
            passphrase = self._ask(f"Passphrase for {file.path}: ")
            if passphrase is None:
                break
            try:
                return _read(file.path, passphrase)
            except AuthenticationFailed:
                if left == 0:
                    raise
        raise _unusable(file.path, "it is encrypted, no agent holds it, and there is no terminal to ask on")


def _read(path: Path, passphrase: str | None) -> paramiko.PKey:
    from fleet.ssh.wire import paramiko, read_key_file

    try:
        return read_key_file(path, passphrase)
    except (OSError, ValueError, TypeError, paramiko.SSHException) as error:
        raise _unusable(path, str(error) or type(error).__name__) from error


def _unusable(path: Path, reason: str) -> AuthenticationFailed:
    return AuthenticationFailed(
        f"the key {path} cannot be used: {reason}",
        why="fleet signs in with private keys in OpenSSH or PEM format, or with those that ssh-agent holds",
        fix="unlock it in the agent, or name another identity",
        example=f"ssh-add {path}",
    )
