"""How a save ended, as the training loop hears of it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that is complete, on the disk and named by `latest`."""

    step: int
    seconds: float
    """From the request until the checkpoint was complete, staging included."""
    bytes: int
    """Size of all its files."""
    stall: float
    """Seconds for which the caller of `save` waited: planning and the copy to host memory."""
    removed: tuple[int, ...]
    """Steps whose checkpoints the retention rules let go afterwards."""
    complaint: str | None = None
    """What could not be tidied afterwards, if anything: the checkpoint itself is safe."""


@dataclass(frozen=True, slots=True)
class SaveFailure:
    """A checkpoint that could not be written. What was complete before is untouched, and training can go on.

    A writer that dies between completing a checkpoint and saying so counts as failed too: the next start finds it.
    """

    step: int
    reason: str
