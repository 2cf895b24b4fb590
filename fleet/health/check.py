"""One line of the preflight: what was looked at, whether it is fit, what was seen, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """A check of one host. Only `fail` blocks a start."""

    id: str
    """Which check: `host.python`, `survival.logind`, `gpu.foreign`, ..."""
    host: str
    status: Status
    evidence: str
    """What was seen, with its numbers."""
    fix: str = ""
    """What a person can do about it; empty when there is nothing to do."""

    def to_json(self) -> dict[str, Any]:
        """The check for programs: an entry of `checks` in `fleet doctor --json`."""
        parts = {"id": self.id, "host": self.host, "status": self.status}
        return {**parts, "evidence": self.evidence, "fix": self.fix or None}
