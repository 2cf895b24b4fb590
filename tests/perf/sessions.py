"""Open connections, for what is measured without the start of a process."""

from __future__ import annotations

from pathlib import Path

from fleet.control.session import Session


def opened(project: Path) -> Session:
    """The session of a folder's fleet.json."""
    return Session.open(project / "fleet.json")
