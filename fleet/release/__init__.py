"""Releases: what of a project is sent to a host, how it arrives whole or not at all, and how to go back.

A release is named by the digest of its content, verified on the host before it becomes visible, and never changed.
"""

from __future__ import annotations

from fleet.release.deploying import Deployed, Limits, deploy
from fleet.release.planning import PlanStep, plan_deploy
from fleet.release.provenance import Provenance
from fleet.release.pruning import Kept, Prunable, Pruned, prune
from fleet.release.rolling import ReleaseInfo, RolledBack, releases, rollback
from fleet.release.tree import Tree, scan

__all__ = [
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
]
