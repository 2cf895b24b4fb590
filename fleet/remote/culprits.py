"""Which failure of a run on several hosts came first: the cause, which all other failures follow from.

Order of arrival counts, because clocks differ between hosts. Two things can make a consequence arrive before its cause:
a rank that waits for a peer often ends before the peer's node has told of it, and a node with several ranks tells how
it ended only when the last of them is gone. So a failure that only tells of a lost peer waits for a better one for a
moment, and a node that tells of a failing rank is given the time to tell how it ended.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fleet.remote.group_status import Said

#: Seconds that a failure which only tells of a lost peer waits for the peer's own.
CONSEQUENCE = 1.0
#: Seconds that a node has to report what became of its failing rank.
REPORT = 20.0
#: What the trainer, and torch where the trainer does not catch it, call the loss of a peer.
_CONSEQUENCES = frozenset(
    {"PeerLost", "DistError", "DistBackendError", "DistNetworkError", "DistStoreError"}
    | {"RendezvousConnectionError", "RendezvousClosedError", "RendezvousTimeoutError"}
)


class Failure(NamedTuple):
    """A failure of one node."""

    node: int
    until: float
    """Monotonic time at which it is taken for the cause if no better one has come."""
    report: dict[str, Any]
    """`{"state", "exit", "step", "lines"}`."""


class Culprits:
    """The failures of one attempt."""

    def __init__(self) -> None:
        self.suspect: Failure | None = None
        """The first failure that has a reason of its own."""
        self._consequence: Failure | None = None

    def hear(self, node: int, said: Said, now: float) -> None:
        """Take in what a node says of its failures."""
        if self.suspect is None:
            own = [report for report in (said.failing, said.failure) if report and not _is_consequence(report)]
            self.suspect = Failure(node, now + REPORT, own[0]) if own else None
        if said.failure is None:
            return
        if self.suspect is not None and self.suspect.node == node:
            self.suspect = Failure(node, now, said.failure)
        elif self._consequence is None:
            self._consequence = Failure(node, now + CONSEQUENCE, said.failure)

    def due(self, now: float) -> Failure | None:
        """The failure to be taken for the cause now; None while a better one may come, or if there is none."""
        waiting = self.suspect or self._consequence
        return waiting if waiting is not None and now >= waiting.until else None


def _is_consequence(report: dict[str, Any]) -> bool:
    """Whether a failure is what ranks say whose peer failed first."""
    culprit = report["exit"].get("culprit") or {}
    return culprit.get("exception") in _CONSEQUENCES
