"""An environment that is complete on a host, as its record says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Action = Literal["ready", "built"]


@dataclass(frozen=True, slots=True)
class Ready:
    """What a run on this host will find."""

    environment: str
    """Environment id."""
    python: str
    """Its interpreter, relative to deploy_dir: `envs/<id>/bin/python`."""
    mode: str
    """`reuse`, `uv` or `pip`."""
    reason: str
    rejected: tuple[str, ...]
    """Interpreters that were not taken, each with its reason, as of when the environment was built."""
    pinned: str
    """`pinned and hashed` or `pinned, not hashed`."""
    version: str
    """Of Python."""
    packages: Mapping[str, str]
    """Canonical name and version of all that the environment sees."""
    installed: tuple[str, ...]
    """Those that were installed for it; in reuse mode the others belong to the interpreter below."""
    torch: str | None
    cuda: str | None
    nccl: str | None
    driver: str | None
    driver_cuda: str | None
    """The newest CUDA that the driver offers."""
    devices: tuple[str, ...]
    notes: tuple[str, ...]
    """What the user should know although the environment was made."""
    action: Action
    seconds: float
    """How long this call took."""

    @classmethod
    def of(cls, record: Mapping[str, Any], action: Action, seconds: float) -> Ready:
        """From the record that lies in the environment."""
        problem = [f"torch cannot be used: {record['problem']}"] if record["problem"] else []
        loose = [f"not pinned: {', '.join(record['unpinned'])}"] if record.get("unpinned") else []
        return cls(
            environment=record["environment"],
            python=record["python"],
            mode=record["mode"],
            reason=record["reason"],
            rejected=tuple(record["rejected"]),
            pinned=record["pinned"],
            version=record["version"],
            packages=dict(record["packages"]),
            installed=tuple(record["installed"]),
            torch=record["torch"],
            cuda=record["cuda"],
            nccl=record["nccl"],
            driver=record["driver"],
            driver_cuda=record["driver_cuda"],
            devices=tuple(record["devices"]),
            notes=(*problem, *loose),
            action=action,
            seconds=seconds,
        )
