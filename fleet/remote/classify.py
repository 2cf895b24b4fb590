"""The end of an attempt explained: which terminal state, with exit code, signal, culprit, and whether to try again."""

from __future__ import annotations

import signal
from typing import Any, NamedTuple

from fleet.remote.evidence import Evidence, Failure
from fleet.remote.states import culprit_field, exit_field

COMPLETED, INTERRUPTED, DEVICE_MEMORY, BUG = 0, 130, 5, 1
#: Exit codes of the trainer after which starting again cannot help: usage, data, divergence, lock, checkpoint.
HOPELESS = frozenset({2, 3, 4, 6, 10})
#: Longest message that is kept of an exception, in characters.
_MESSAGE = 4000
_OUT_OF_MEMORY = ("DeviceMemoryError", "OutOfMemoryError")


class Ending(NamedTuple):
    """How an attempt ended."""

    state: str
    exit: dict[str, Any]
    """The field `exit` of the state."""

    @property
    def code(self) -> int | None:
        """Exit code of the trainer, where one is known."""
        code = self.exit["code"]
        return code if isinstance(code, int) else None

    @property
    def signature(self) -> tuple[Any, ...]:
        """What went wrong, apart from when: the same twice at one step will be the same a third time."""
        culprit = self.exit["culprit"] or {}
        return (self.state, self.exit["code"], self.exit["signal"], culprit.get("exception"))


def classify(evidence: Evidence) -> Ending:
    """Judge the end of an attempt: what was asked for before memory, memory before signals, signals before codes."""
    first = _culprit(evidence)
    kind = (evidence.final or {}).get("kind")
    if evidence.code == COMPLETED and kind == "run.completed":
        return Ending("completed", exit_field(COMPLETED))
    if evidence.code == COMPLETED and evidence.node > 0 and not evidence.asked:
        # The final record is rank 0's, which is on another host; that host says which good end it was.
        return Ending("completed", exit_field(COMPLETED))
    if evidence.asked or (evidence.code == COMPLETED and kind == "run.stopped"):
        reason = "requested" if first is None or first.exception is None else first.exception
        return Ending("stopped", _exit(evidence, first, kind=reason, retry=False))
    code = _code(evidence, first)
    if code == INTERRUPTED:
        return Ending("stopped", _exit(evidence, first, kind="interrupted", retry=True))
    if evidence.memory:
        return Ending("oom", _exit(evidence, first, kind="host", retry=True))
    if code == DEVICE_MEMORY or any(_device_memory(failure) for failure in evidence.failures):
        return Ending("oom", _exit(evidence, first, kind="gpu", retry=True))
    number = evidence.signal if first is None or first.signal is None else first.signal
    if number is not None:
        return Ending("killed", _exit(evidence, first, kind=_signal_name(number), retry=True))
    if code == COMPLETED:
        silent = "the trainer ended with status 0 and without a final record"
        silent_exit = exit_field(code, kind="NoFinalRecord", culprit=_named(evidence, first, silent))
        return Ending("failed", silent_exit)
    exception = None if first is None else first.exception
    return Ending("failed", _exit(evidence, first, kind=exception, retry=code not in HOPELESS))


def failed_to_start(error: OSError, program: str) -> Ending:
    """The end of an attempt whose program could not even be executed."""
    message = f"{program}: {error.strerror or error}"
    culprit = culprit_field(0, exception=type(error).__name__, message=message)
    return Ending("failed", exit_field(kind=type(error).__name__, culprit=culprit))


def _culprit(evidence: Evidence) -> Failure | None:
    """The rank that failed first; ranks that only lost a peer, or were told to end, come after all others."""
    causes = [failure for failure in evidence.failures if not failure.consequence]
    return next(iter(causes or evidence.failures), None)


def _code(evidence: Evidence, first: Failure | None) -> int | None:
    """Exit code of the trainer: of the rank that failed, since a launcher says 1 for everything."""
    if first is not None and (first.code is not None or first.signal is not None):
        return first.code
    return evidence.code


def _device_memory(failure: Failure) -> bool:
    name = (failure.exception or "").rpartition(".")[2]
    return failure.code == DEVICE_MEMORY or name in _OUT_OF_MEMORY or "CUDA out of memory" in failure.message


def _exit(evidence: Evidence, first: Failure | None, *, kind: str | None, retry: bool) -> dict[str, Any]:
    number = evidence.signal if first is None or first.signal is None else first.signal
    culprit = None if first is None and number is None else _named(evidence, first, "")
    return exit_field(_code(evidence, first), kind=kind, signal=number, culprit=culprit, retry=retry)


def _named(evidence: Evidence, first: Failure | None, message: str) -> dict[str, Any]:
    if first is None:
        return culprit_field(evidence.first_rank, node=evidence.node, message=message)
    text = (first.message or message)[:_MESSAGE]
    return culprit_field(first.rank, node=evidence.node, exception=first.exception, message=text)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
