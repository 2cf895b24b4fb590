"""The errors a user of Hydra can meet.

Every one says what went wrong, why it is refused, how to fix it, and shows one correct example, because a run that
stops at night is read in the morning by somebody who did not write it. The exit code travels with the type, so the
trainer, the supervisor and the shell agree on what a failure means (README, "Checkpoints and resume").
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class HydraError(Exception):
    """A failure that a user can act on.

    Parameters are sentences: `what` went wrong (with the offending value), `why` it is refused, `fix`, and an
    `example` of what works. All four are required: a message without a remedy is half a message.
    """

    exit_code: ClassVar[int] = 1
    #: Whether starting the same command again can help (read by whoever restarts runs).
    retry: ClassVar[bool] = False

    def __init__(self, what: str, *, why: str, fix: str, example: str) -> None:
        for part, text in (("what", what), ("why", why), ("fix", fix), ("example", example)):
            if not text.strip():
                raise AssertionError(f"{type(self).__name__} was raised without its '{part}' part")
        super().__init__(what)
        self.what, self.why, self.fix, self.example = what, why, fix, example

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why}\n  fix: {self.fix}\n  example: {self.example}"

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process boundaries (launchers, workers), so they must survive copying."""
        return (_rebuild, (type(self), self.what, self.why, self.fix, self.example))


def _rebuild(kind: type[HydraError], what: str, why: str, fix: str, example: str) -> HydraError:
    return kind(what, why=why, fix=fix, example=example)


class UsageError(HydraError):
    """A command line that cannot mean anything: contradictory or impossible arguments."""

    exit_code = 2


class ManifestError(HydraError):
    """A manifest that is not valid: unknown key, wrong type, impossible shape."""

    exit_code = 2


class ComparisonError(HydraError):
    """A comparison that would not be fair, or that lost its fairness while it ran."""

    exit_code = 2


class Unsupported(HydraError):
    """No implementation of an op or backend can do this on this device."""

    exit_code = 2


class RunError(HydraError):
    """A run directory that does not exist, is not what it should be, or cannot be resumed this way."""

    exit_code = 2


class DataError(HydraError):
    """Data or tokenizer: missing, empty, malformed, or not what the run was made with."""

    exit_code = 3


class Diverged(HydraError):
    """Training stopped because losses or gradients were not finite too often."""

    exit_code = 4


class DeviceMemoryError(HydraError):
    """The accelerator has too little memory for this run."""

    exit_code = 5
    retry = True


class RunLocked(HydraError):
    """Another live trainer holds the run directory."""

    exit_code = 6


class PeerLost(HydraError):
    """A rank, link or device failed or did not arrive in time."""

    exit_code = 7
    retry = True


class CheckpointError(HydraError):
    """A checkpoint that is torn, tampered with, or does not match the model."""

    exit_code = 10


class SaveFailed(HydraError):
    """The run was asked to stop and its last save did not succeed."""

    exit_code = 12
    retry = True


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a mistyped one, or None when nothing is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None
