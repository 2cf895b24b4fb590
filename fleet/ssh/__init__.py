"""Connections to hosts: the three verbs of a transport, tuned paramiko behind them, host keys, pool and fan-out.

It is the only room that knows SSH; every other one sees `Transport`. Importing it does not import paramiko.
"""

from __future__ import annotations

from fleet.ssh.command import Cmd, Result
from fleet.ssh.connection import SshTransport
from fleet.ssh.deadline import Deadline
from fleet.ssh.endpoint import Endpoint, Watchdog
from fleet.ssh.fanout import Outcome, fan_out
from fleet.ssh.pool import Pool
from fleet.ssh.retry import retried
from fleet.ssh.route import route
from fleet.ssh.transport import Output, Sink, Stream, Transport

__all__ = [
    "Cmd",
    "Deadline",
    "Endpoint",
    "Outcome",
    "Output",
    "Pool",
    "Result",
    "Sink",
    "SshTransport",
    "Stream",
    "Transport",
    "Watchdog",
    "fan_out",
    "retried",
    "route",
]
