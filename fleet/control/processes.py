"""Live processes of our runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleet.control.finding import LIMIT
from fleet.control.report import Report
from fleet.control.session import Session
from fleet.ssh import Deadline


def processes(session: Session, names: Sequence[str]) -> Report[list[dict[str, Any]]]:
    """The processes of all live runs on hosts, found by identity and not by name."""

    def on_host(name: str, deadline: Deadline) -> list[dict[str, Any]]:
        request = {"deploy_dir": session.instance(name).deploy_dir}
        answer = session.agent(name, deadline).call("ps", request, deadline=deadline)
        found: list[dict[str, Any]] = answer["processes"]
        return found

    return session.each(names, on_host, LIMIT)
