"""Secrets of fleet.json, on their way to a host and out of everything that is printed."""

from __future__ import annotations

from fleet.control.session import Session
from fleet.environment import read_allowed, send
from fleet.ssh import Deadline

#: Name of the set that runs of a deploy_dir read.
SET = "run"


def send_secrets(session: Session, name: str, deadline: Deadline) -> str | None:
    """Replace the host's set of secrets by what its instance allows, and return its name; None without any.

    The values are redacted from then on in all that this session writes.
    """
    wanted = session.instance(name).secrets
    if wanted is None or not wanted.allow:
        return None
    values = read_allowed(session.inventory.file(wanted.file), wanted.allow)
    session.learn(values.values())
    send(session.transport(name, deadline), session.instance(name).deploy_dir, SET, values, deadline=deadline)
    return SET
