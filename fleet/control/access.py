"""Getting into hosts: trusting their keys, and leaving ours with them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fleet.control.report import Report
from fleet.control.session import Session
from fleet.errors import Busy, RemoteFailed, Usage
from fleet.ssh import Cmd, Deadline

_LIMIT: Final = 60.0
_BUSY: Final = 75
Change = Literal["added", "present", "removed", "absent"]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One line of a `.pub` file."""

    kind: str
    blob: str
    comment: str


def public_key(session: Session, name: str, given: Path | None) -> PublicKey:
    """The key to leave on a host: the given `.pub` file, else that of the instance's identity, else the usual one.

    Raises Usage if there is none, or if it is not a public key.
    """
    instance = session.instance(name)
    if given is not None:
        path = given
    elif instance.identity is not None:
        identity = session.inventory.file(instance.identity)
        path = identity.with_name(identity.name + ".pub")
    else:
        path = next((key for key in _usual() if key.is_file()), _usual()[0])
    try:
        text = path.expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad_key(path, str(error), name) from error
    kind, _, rest = text.strip().partition(" ")
    blob, _, comment = rest.strip().partition(" ")
    try:
        inside = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        inside = b""
    # The type stands inside the blob too; a private key, or two lines, have neither form.
    if "\n" in text.strip() or not inside or kind.encode() not in inside[:64]:
        raise _bad_key(path, "it is not one line `type base64 comment`", name)
    return PublicKey(kind, blob, "".join(letter for letter in comment if letter.isprintable()))


def sync_keys(session: Session, names: Sequence[str], given: Path | None, *, remove: bool) -> Report[Change]:
    """Add a public key to each host's authorized_keys, or remove it. Nothing else in the file changes."""

    def on_host(name: str, deadline: Deadline) -> Change:
        key = public_key(session, name, given)
        action = "remove" if remove else "add"
        cmd = Cmd.script("authorized-keys.sh", action, key.kind, key.blob, key.comment)
        result = session.transport(name, deadline).exec(cmd, deadline=deadline)
        # Start-up files of the login's shell may print something before.
        said = result.out.decode("utf-8", "replace").strip().rpartition("\n")[2]
        if result.rc == _BUSY:
            raise Busy(
                f"authorized_keys of {name} is being changed by somebody else",
                why="two writers would lose each other's keys",
                fix="try again",
                example=f"fleet sync-keys {name}",
                host=name,
            )
        if not result.ok or said not in ("added", "present", "removed", "absent"):
            raise RemoteFailed(
                f"authorized_keys of {name} was not changed: {result.err.decode('utf-8', 'replace').strip() or said}",
                why="the old file is still there, whole",
                fix="see whether ~/.ssh can be written there",
                example=f"fleet run {name} -- ls -la .ssh",
                host=name,
            )
        return said  # type: ignore[return-value]

    report = session.each(names, on_host, _LIMIT, repeat=True)
    words = [f"{name} {row}" for name, row in report.rows.items()]
    words += [f"{error.host} failed: {error.what}" for error in report.errors]
    changed = [name for name, row in report.rows.items() if row in ("added", "removed")]
    warnings = session.record("sync-keys", names, "; ".join(words), on_hosts=changed)
    return Report(report.rows, report.errors, warnings)


def _usual() -> list[Path]:
    folder = Path.home() / ".ssh"
    return [folder / f"id_{kind}.pub" for kind in ("ed25519", "ecdsa", "rsa")]


def _bad_key(path: Path, why: str, name: str) -> Usage:
    return Usage(
        f"{path} cannot be used as a public key",
        why=why,
        fix="give the .pub file, or name an identity in fleet.json",
        example=f"fleet sync-keys {name} --key ~/.ssh/id_ed25519.pub",
    )
