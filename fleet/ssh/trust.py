"""Learning a host's key: fetched without signing in, shown to a person, and kept in the project's known-hosts file."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import HostKeyRefused, Usage
from fleet.ssh.configfile import matches
from fleet.ssh.configuration import effective
from fleet.ssh.deadline import Deadline
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.hostkeys import Expectation, lookup_name
from fleet.ssh.knownhosts import Entry, HostKey, read_entries
from fleet.ssh.opening import Opening, Tunnel
from fleet.ssh.refusals import Verdict, refused


@dataclass(frozen=True, slots=True)
class Presented:
    """The key that a host shows, and what is known of the host so far."""

    endpoint: Endpoint
    name: str
    """The host in known-hosts files."""
    key: HostKey
    verdict: Verdict
    known: tuple[Entry, ...]
    """What the deciding files know; with the verdict `changed`, the keys that the host had before."""

    @property
    def kind(self) -> str:
        """Type of the key, such as `ssh-ed25519`."""
        return self.key.kind

    @property
    def fingerprint(self) -> str:
        """`SHA256:...`"""
        return self.key.fingerprint


def present(endpoint: Endpoint, tunnel: Tunnel, deadline: Deadline) -> Presented:
    """Ask a host for its key. Nothing is said about the user, and hosts on the way must be trusted already.

    Raises Unreachable, DeadlinePassed, and HostKeyRefused for a host on the way.
    """
    settings = effective(endpoint)
    expectation = Expectation.of(endpoint, settings)
    wire, key = Opening(endpoint, tunnel).meet(settings, expectation, deadline)
    wire.end()
    return Presented(endpoint, lookup_name(settings), key, expectation.judge(key), expectation.entries)


def store(presented: Presented, *, fingerprint: str | None = None, replace: bool = False) -> bool:
    """Keep the key in the project's known-hosts file (0600), in place of the one before if `replace` is given.

    False if it was known already. `fingerprint` is what the user knows from elsewhere. Raises HostKeyRefused if it is
    another one, if the key is revoked or not the pinned one, or if it has changed and `replace` is not given.
    """
    endpoint, verdict = presented.endpoint, presented.verdict
    if fingerprint is not None and fingerprint != presented.fingerprint:
        raise _not_that_one(presented, fingerprint)
    if verdict == "known":
        return False
    if verdict in {"revoked", "pinned"} or (verdict == "changed" and not replace):
        known = ", ".join(f"{entry.key} ({entry.where})" for entry in presented.known)
        raise refused(verdict, endpoint, presented.name, presented.key, known)
    if not endpoint.known_hosts:
        raise AssertionError("a project has a known-hosts file")
    path = endpoint.known_hosts[0]
    line = f"{presented.name} {presented.kind} {base64.b64encode(presented.key.blob).decode()}\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path.parent):
        lines = _without(path, presented.name) if replace else _lines(path)
        _write(path, "".join([*lines, line]))
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two processes must not lose each other's lines. The folder is locked: the file is replaced while it is held."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [line + "\n" for line in text.splitlines()]


def _without(path: Path, name: str) -> list[str]:
    """The lines of a file without this host's keys. Other hosts on the same line stay."""
    lines = _lines(path)
    for entry in read_entries(path):
        if entry.marker or not entry.speaks_of(name):
            continue
        number = int(entry.where.rpartition(":")[2]) - 1
        others = [] if entry.names.startswith("|") else [one for one in entry.names.split(",") if one.lower() != name]
        if matches([one.lower() for one in others], name):
            raise Usage(
                f"{entry.where} knows {name} with another key by a pattern: {entry.names}",
                why="the line also speaks of other hosts, so it is not fleet's to change",
                fix="correct or remove that line, then try again",
                example=f"{name} {entry.key.kind} AAAA...",
            )
        lines[number] = lines[number].replace(entry.names, ",".join(others), 1) if others else ""
    return lines


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole, readable by its owner only."""
    descriptor, name = tempfile.mkstemp(prefix=".known_hosts-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _not_that_one(presented: Presented, fingerprint: str) -> HostKeyRefused:
    endpoint = presented.endpoint
    return HostKeyRefused(
        f"{endpoint.name} shows {presented.key}, not {fingerprint}",
        why="a key is only trusted if it is the one that was announced",
        fix="make sure that the address is right and nobody is in between, then compare the prints again",
        example="ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        host=endpoint.name,
    )
