"""What a supervisor asks of its group when a run spans several hosts; a run on one host has none.

All nodes start together, the first failure of any rank ends the attempt everywhere, and whether to start again is
decided once, by the lead, for all. Every method returns at once: it is called from the supervisor's loop, which must
keep reading the trainer's output. Implementations start no child processes, because the supervisor collects all.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Go(NamedTuple):
    """Every node is ready: start."""

    step: int | None
    """The newest checkpoint that verified on every node; None lets the trainer choose."""


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


class NotReady(Exception):
    """The nodes did not all get ready in time; the message names those that are missing."""


class Group(Protocol):
    """A node's membership in the group of one run."""

    def ready(self, attempt: int, step: int | None) -> None:
        """Tell the lead that this node could start an attempt, and its newest verified checkpoint."""

    def wait_start(self) -> Go | None:
        """Whether every node is ready; None while some are not. Raises NotReady when time is over."""

    def beat(self) -> None:
        """Called at least every 0.2 s while the run lives: heartbeats, at the group's own pace."""

    def report_failure(self, culprit: dict[str, Any]) -> None:
        """Tell the lead that the attempt ended here by itself: `{"state", "exit", "step", "lines"}`."""

    def report_end(self, state: str) -> None:
        """Tell the lead that the attempt ended here without a failure: `completed` or `stopped`."""

    def verdict(self) -> str | None:
        """Which of both it was, as the node of rank 0 knows it; None while it was not told."""

    def orders(self) -> Order | None:
        """What the lead ordered, once; None if nothing. A lead that is silent for too long is an order to stop."""

    def close(self) -> None:
        """Leave the group."""
