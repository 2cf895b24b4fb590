"""Files that go to a host under the digest of their content: the agent, wheels, a pinned uv."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from fleet.errors import Unverified
from fleet.remote.archive import archive
from fleet.ssh import Cmd, Deadline, Result, Transport

_PIECE: Final = 1 << 20


def send_file(
    transport: Transport, python: str, local: Path, remote: str, sha256: str, mode: str, deadline: Deadline
) -> None:
    """Put a file at an absolute path of the host. It appears there whole and verified, or not at all.

    `python` is an interpreter of the host, `mode` its permissions in octal. Raises Unverified when the file on this
    side or what arrived is not what the digest says.
    """
    found, size = digest(local)
    if found != sha256:
        raise Unverified(
            f"{local} has the digest {found}, not {sha256}",
            why="only what was pinned is sent",
            fix="fetch the file again, or correct the digest",
            example=f'"sha256": "{found}"',
        )
    text = (files("fleet.remote") / "env_receive.py").read_text(encoding="utf-8")
    cmd = Cmd((python, "-I", "-c", text, remote, sha256, str(size), mode))
    _require(transport.name, local.name, transport.stream_in(cmd, _pieces(local), deadline=deadline))


def send_agent(transport: Transport, deploy_dir: str, python: str, deadline: Deadline) -> None:
    """Put the agent under `tools/`, where the builder is part of it."""
    data, sha256 = archive()
    cmd = Cmd.script("agent-put.sh", deploy_dir, python, sha256)
    _require(transport.name, "the agent", transport.stream_in(cmd, [data], deadline=deadline))


def digest(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file on this side."""
    found, size = hashlib.sha256(), 0
    for piece in _pieces(path):
        found.update(piece)
        size += len(piece)
    return found.hexdigest(), size


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(_PIECE), b"")


def _require(host: str, what: str, result: Result) -> None:
    if not result.ok:
        words = result.err.decode("utf-8", "replace").strip().splitlines()
        raise Unverified(
            f"{host} did not take {what}: {words[-1] if words else 'it said nothing'}",
            why="a file that did not arrive whole is never used",
            fix="see whether the host has space, then run the same command again: what arrived is not sent again",
            example=f"fleet setup {host}",
            host=host,
        )
