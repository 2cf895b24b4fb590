"""What the supervisors of a run on several hosts tell each other: each says its whole status, again and again.

A status says all that matters and replaces the one before it. So a message that was lost with its connection needs no
repetition, one that arrives twice changes nothing, and whoever connects again knows everything after one message.
"""

from __future__ import annotations

from typing import Any, NamedTuple

#: Longest message of an exception, longest line of output, in characters, and number of lines that are passed on.
_MESSAGE, _LINE, _LINES = 2000, 500, 20


class Malformed(Exception):
    """A message that is no status: the other side is of another version."""


class Said(NamedTuple):
    """The status of a node, as its member tells the lead."""

    attempt: int
    """The attempt that this node is at; 0 before the first."""
    ready: bool = False
    """Whether it could start that attempt."""
    step: int | None = None
    """Its newest verified checkpoint, or the step that it was told to continue from."""
    failing: dict[str, Any] | None = None
    """The first rank that failed here, while the rest of the node has not ended yet; fields as of `failure`."""
    failure: dict[str, Any] | None = None
    """How the attempt ended here by itself: `{"state", "exit", "step", "lines"}`."""
    ended: str | None = None
    """How it ended here without a failure: `completed` or `stopped`."""
    stop: dict[str, Any] | None = None
    """What a user asked of this node: `{"grace": seconds that are left, "kill"}`."""
    left: bool = False
    """Whether this node leaves for good."""

    def message(self) -> dict[str, Any]:
        """The status as it is sent."""
        return self._asdict()

    @classmethod
    def of(cls, message: dict[str, Any]) -> Said:
        """The status that a message holds. Raises Malformed."""
        try:
            said = cls(**message)
        except TypeError as error:
            raise Malformed(str(error)) from None
        whole = all(isinstance(value, bool) for value in (said.ready, said.left)) and type(said.attempt) is int
        told = all(_is_ending(value) for value in (said.failing, said.failure))
        if not whole or not told or not (said.stop is None or {"grace", "kill"} <= set(said.stop)):
            raise Malformed("a field of another type")
        return said


class Told(NamedTuple):
    """What the lead has decided, as it tells each member."""

    attempt: int
    """The newest attempt that may start, because every node was ready for it; 0 before the first."""
    step: int | None = None
    """The checkpoint that it starts from; None lets the trainer choose."""
    halt: str | None = None
    """Why that attempt must end at once; what follows from it is told later, as an order."""
    order: dict[str, Any] | None = None
    """The newest order: `{"number", "action", "reason", "wait", "state", "exit", "lines"}`."""
    stop: dict[str, Any] | None = None
    """What a user asked for on some node: `{"by", "grace", "kill"}`."""
    verdict: str | None = None
    """How the run ended well, once every node has ended."""
    closing: bool = False
    """Whether the lead ends."""

    def message(self) -> dict[str, Any]:
        """The status as it is sent."""
        return self._asdict()

    @classmethod
    def of(cls, message: dict[str, Any]) -> Told:
        """The status that a message holds. Raises Malformed."""
        try:
            return cls(**message)
        except TypeError as error:
            raise Malformed(str(error)) from None


def bounded(report: dict[str, Any]) -> dict[str, Any]:
    """A report of a failure that is short enough to be sent every second."""
    exit = dict(report["exit"])
    if exit["culprit"] is not None:
        texts = {name: text[:_MESSAGE] for name, text in exit["culprit"].items() if isinstance(text, str)}
        exit["culprit"] = {**exit["culprit"], **texts}
    return {**report, "exit": exit, "lines": [line[:_LINE] for line in report["lines"][-_LINES:]]}


def _is_ending(value: Any) -> bool:
    """Whether a field is null or tells how something ended."""
    if value is None:
        return True
    if not isinstance(value, dict) or not {"state", "exit", "step", "lines"} <= set(value):
        return False
    exit = value["exit"]
    return isinstance(exit, dict) and {"code", "kind", "signal", "culprit", "retry"} <= set(exit)
