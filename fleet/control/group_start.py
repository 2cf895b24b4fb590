"""Starting the supervisors of one run on all hosts of a group: together, or not at all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet.control.group_network import Node
from fleet.control.launching import LIMIT
from fleet.control.session import Session
from fleet.errors import FleetError, NotFound
from fleet.inventory import Group
from fleet.ssh import Deadline, fan_out

#: Seconds to end what was started on the other hosts when one refuses.
_CANCEL: Final = 60.0
_PAUSE: Final = 0.2
#: Seconds for which the ranks of other hosts than the master must live: they say nothing, and if one of them dies later
#: the master, which is watched for longer, ends too.
_CONFIRM: Final = 2.0
_ENDED: Final = ("failed", "oom", "killed", "lost")


@dataclass(frozen=True)
class Answers:
    """What the supervisors said."""

    by_host: dict[str, dict[str, Any]]
    warnings: tuple[str, ...] = ()

    def worst(self, group: Group) -> str | None:
        """The host whose answer explains best why the run has ended already; None if it has not."""
        ended = [name for name in group.members if self.by_host.get(name, {}).get("state") in _ENDED]
        culprits = [(self.by_host[name].get("exit") or {}).get("culprit") or {} for name in ended]
        node = next((culprit["node"] for culprit in culprits if "node" in culprit), None)
        return next((name for name in ended if group.members.index(name) == node), next(iter(ended), None))


def group_part(group: Group, nodes: tuple[Node, ...], name: str, token: str) -> dict[str, Any]:
    """What a supervisor is told about its group."""
    rank = next(number for number, node in enumerate(nodes) if node.name == name)
    interface = group.interface if group.interface != "auto" else nodes[rank].interface
    return {
        "node_rank": rank,
        "nodes": [{"name": node.name, "address": node.address} for node in nodes],
        "master_address": nodes[0].address,
        "master_port": group.master_port,
        "lead_port": group.lead_port,
        "token": token,
        "interface": interface,
    }


def start_together(session: Session, group: Group, requests: Mapping[str, dict[str, Any]]) -> Answers:
    """Start the supervisors, which begin to train when all are there.

    Raises the error of the first host that refuses; what was started on the others, which would wait for it, is ended.
    A host whose connection is lost is no such refusal: its supervisor may be there, and the others know.
    """
    deadline = session.deadline(LIMIT)
    answered = {name: threading.Event() for name in group.members}

    def start(name: str) -> dict[str, Any]:
        request = dict(requests[name])
        if name != group.master:
            request["confirm_seconds"] = min(_CONFIRM, request["confirm_seconds"])
        try:
            return session.agent(name, deadline).call("start", request, deadline=deadline)
        finally:
            answered[name].set()

    answers: dict[str, dict[str, Any]] = {}
    refused: FleetError | None = None
    lost: list[FleetError] = []
    for outcome in fan_out(group.members, start, jobs=len(group.members), deadline=deadline):
        if outcome.value is not None:
            answers[outcome.name] = outcome.value
        elif outcome.error is not None and outcome.error.retry:
            lost.append(outcome.error)
        elif outcome.error is not None and refused is None:
            refused = outcome.error
            _cancel(session, [name for name in group.members if name != outcome.name], requests, answered)
    if refused is not None:
        raise refused
    if lost and not answers:
        raise lost[0]
    # A run that has begun on one host has begun on all, or it has ended.
    return Answers(answers, tuple(f"{error.host}: not known whether it started there: {error.what}" for error in lost))


def _cancel(
    session: Session,
    names: Sequence[str],
    requests: Mapping[str, dict[str, Any]],
    answered: Mapping[str, threading.Event],
) -> None:
    """End the run on these hosts, where it may not even have begun."""
    deadline = Deadline.after(_CANCEL)

    def end(name: str) -> None:
        request = {"deploy_dir": requests[name]["deploy_dir"], "run": requests[name]["run"], "grace": 0, "kill": True}
        while not deadline.passed():
            over = answered[name].is_set()
            with contextlib.suppress(NotFound):
                session.agent(name, deadline).call("stop", request, deadline=deadline)
                return
            if over:
                return
            answered[name].wait(_PAUSE)

    # What cannot be ended from here ends itself when its peers do not come.
    list(fan_out(names, end, jobs=max(1, len(names)), deadline=deadline))
