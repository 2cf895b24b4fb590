"""What a supervisor asks of its group when a run spans several hosts; a run on one host has none.

All nodes start together, the first failure of any rank ends the attempt everywhere, a stop that a user asks of one node
is meant for all, and whether to start again is decided once, by the lead. Every method returns at once: it is called
from the supervisor's loop, which must keep reading the trainer's output. Implementations start no child processes,
because the supervisor collects all.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from fleet.remote.stopping import Stop


class Go(NamedTuple):
    """Every node is ready: start."""

    step: int | None
    """The checkpoint to start from: the newest that verified where rank 0 is; None lets the trainer choose."""


class Order(NamedTuple):
    """What the lead wants of every node."""

    action: str
    """`stop`: end the run. `restart`: end the attempt and get ready for the next one."""
    reason: str
    """For people: what happened, and where."""
    wait: float = 0.0
    """Seconds to wait before a restart."""
    state: str | None = None
    """Terminal state of the whole run, as the lead judged it; None leaves it to the node."""
    exit: dict[str, Any] | None = None
    """The field `exit` that goes with it, the culprit being whose failure reached the lead first."""
    lines: tuple[str, ...] = ()
    """The last lines of that node, escaped."""


class AskedElsewhere(NamedTuple):
    """A stop that a user asked of another node."""

    by: str
    """Name of that node."""
    grace: float
    """Seconds that are left."""
    kill: bool


class Group(Protocol):
    """A node's membership in the group of one run."""

    def ready(self, attempt: int, step: int | None) -> None:
        """Tell the lead that this node could start an attempt, and its newest verified checkpoint, or the one that it
        was told to continue from."""

    def wait_start(self) -> Go | None:
        """Whether every node is ready; None while some are not. Whether they come in time is the lead's to judge."""

    def beat(self) -> None:
        """Called at least every 0.2 s while the run lives: heartbeats, at the group's own pace."""

    def report_failing(self, report: dict[str, Any]) -> None:
        """Tell the lead that a rank has failed here, while the rest still ends: `{"state", "exit", "step", "lines"}`.

        What is told first counts; what is told again changes nothing.
        """

    def report_failure(self, report: dict[str, Any]) -> None:
        """Tell the lead that the attempt ended here by itself: the same fields."""

    def report_end(self, state: str) -> None:
        """Tell the lead that the attempt ended here without a failure: `completed` or `stopped`."""

    def report_stop(self, stop: Stop) -> None:
        """Tell the lead what a user asked of this node; again when it has become more urgent."""

    def verdict(self) -> str | None:
        """How the run ended well, as the node of rank 0 knows it, once every node has ended; None before."""

    def halted(self) -> str | None:
        """Why the attempt must end at once: a rank of another node has failed, and an order follows. None if not."""

    def asked_elsewhere(self) -> AskedElsewhere | None:
        """What a user asked of another node, once, and again when it has become more urgent; None if nothing."""

    def orders(self) -> Order | None:
        """What the lead ordered, once; None if nothing. A lead that is silent for too long is an order to stop."""

    def close(self) -> None:
        """Leave the group."""
