"""Connections to hosts: the three verbs of a transport, tuned paramiko behind them, host keys, pool and fan-out.

It is the only room that knows SSH; every other one sees `Transport`. Importing it does not import paramiko.
"""

from __future__ import annotations

from fleet.ssh.command import Cmd, Result
from fleet.ssh.deadline import Deadline
from fleet.ssh.transport import Output, Sink, Stream, Transport

__all__ = ["Cmd", "Deadline", "Output", "Result", "Sink", "Stream", "Transport"]
