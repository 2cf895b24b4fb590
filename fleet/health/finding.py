"""What health looks like: a state with its evidence, of a host, of one of its GPUs or of one of its runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

Health = Literal["healthy", "warning", "failure"]
_ORDER: Final[tuple[Health, ...]] = ("healthy", "warning", "failure")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at and is worth saying. Only a `failure` without a run blocks a start."""

    id: str
    """Which rule: `gpu.xid`, `host.disk`, `run.stalled`, ..."""
    state: Health
    """`healthy` is said where silence could be mistaken for a look: a kernel log that cannot be read."""
    evidence: str
    """What was seen, with its numbers."""
    gpu: int | None = None
    """Index of the GPU that is meant."""
    run: str | None = None
    """Id of the run that is meant; such a finding says nothing against the host."""
    fix: str = ""
    """What a person can do about it."""

    def to_json(self) -> dict[str, Any]:
        """The finding for programs."""
        return {
            "id": self.id,
            "state": self.state,
            "evidence": self.evidence,
            "gpu": self.gpu,
            "run": self.run,
            "fix": self.fix or None,
        }


def worst(findings: Iterable[Finding]) -> Health:
    """The health of a host with these findings; those of runs do not count."""
    return max((finding.state for finding in findings if finding.run is None), key=_ORDER.index, default="healthy")


def blocking(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that forbid to start a run."""
    return tuple(finding for finding in findings if finding.state == "failure" and finding.run is None)
