"""Releases: what of a project is sent to a host, how it arrives whole or not at all, and how to go back.

A release is named by the digest of its content, verified on the host before it becomes visible, and never changed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from fleet.release.deploying import Deployed, Limits, deploy
from fleet.release.provenance import Provenance
from fleet.release.steps import SILENCE
from fleet.release.tree import Tree, scan

if TYPE_CHECKING:
    from fleet.release.planning import PlanStep, plan_deploy
    from fleet.release.pruning import Kept, Prunable, Pruned, prune
    from fleet.release.rolling import ReleaseInfo, RolledBack, releases, rollback
    from fleet.release.verifying import verify

__all__ = [
    "SILENCE",
    "Deployed",
    "Kept",
    "Limits",
    "PlanStep",
    "Provenance",
    "Prunable",
    "Pruned",
    "ReleaseInfo",
    "RolledBack",
    "Tree",
    "deploy",
    "plan_deploy",
    "prune",
    "releases",
    "rollback",
    "scan",
    "verify",
]

#: What a deploy does not need, by module: imported when it is first asked for.
_LATER: Final = {
    "fleet.release.planning": ("PlanStep", "plan_deploy"),
    "fleet.release.pruning": ("Kept", "Prunable", "Pruned", "prune"),
    "fleet.release.rolling": ("ReleaseInfo", "RolledBack", "releases", "rollback"),
    "fleet.release.verifying": ("verify",),
}


def __getattr__(name: str) -> object:
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
