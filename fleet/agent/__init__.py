"""Calls of the agent on a host: JSON there and back, the agent itself sent when the host does not have it yet.

It exists so that the rooms above speak of requests and answers, not of files, interpreters and exit statuses.
"""

from __future__ import annotations

from fleet.agent.agent import Agent
from fleet.agent.refusals import refused_commands

__all__ = ["Agent", "refused_commands"]
