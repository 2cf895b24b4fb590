"""Who this process is, as its launcher says: rank among ranks, and the run a supervisor started it for.

The only module that reads environment variables. They carry identity, never behaviour: torchrun's ranks and address,
and the run directory and attempt of a supervising `fleet`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hydra.errors import UsageError


@dataclass(frozen=True)
class Identity:
    """One process of a run."""

    rank: int
    """Global rank, 0 for a process of its own."""
    size: int
    """Number of ranks."""
    local_rank: int
    """Rank on this host, which picks the GPU."""
    local_size: int
    """Ranks on this host, which share its CPU cores."""
    run_directory: Path | None
    """The run directory that a supervisor chose."""
    attempt: int | None
    """The attempt that a supervisor counts."""

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's shared files."""
        return self.rank == 0


def identity() -> Identity:
    """Read this process's identity. Raises UsageError for a launcher's variables that are no numbers."""
    directory = os.environ.get("FLEET_RUN_DIR")
    attempt = os.environ.get("FLEET_ATTEMPT")
    return Identity(
        rank=_number("RANK", "0"),
        size=_number("WORLD_SIZE", "1"),
        local_rank=_number("LOCAL_RANK", "0"),
        local_size=_number("LOCAL_WORLD_SIZE", "1"),
        run_directory=Path(directory) if directory else None,
        attempt=_number("FLEET_ATTEMPT", "1") if attempt else None,
    )


def _number(name: str, default: str) -> int:
    text = os.environ.get(name, default)
    if not text.isdigit():
        raise UsageError(
            f"the launcher's variable {name} is {text!r}, not a number",
            why="it says which rank or attempt this process is",
            fix="start through torchrun, or unset the variable for a single process",
            example="torchrun --nproc-per-node 2 trainer.py",
        )
    return int(text)
