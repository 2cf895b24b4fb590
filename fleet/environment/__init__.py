"""Python environments and secrets on a host: which interpreter, what is pinned, built in place, proved, remembered.

It exists so that a run finds exactly the packages that its release pins, without root and without a container.
"""

from __future__ import annotations

from fleet.environment.check import Finding, check
from fleet.environment.plan import PinnedUv, Plan, plan
from fleet.environment.ready import Ready
from fleet.environment.secrets import read_allowed, remove, send
from fleet.environment.setup import setup

__all__ = ["Finding", "PinnedUv", "Plan", "Ready", "check", "plan", "read_allowed", "remove", "send", "setup"]
