"""Signals that come when nothing is left to stop."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

#: Its last object is taken down after Python has given the signals their defaults back.
PROGRAM = """
import os, sys
from hydra.training import signals

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), number={number}):
        kill(pid, number)

requests = signals.install()
if {settled}:
    signals.settle()
late = Late()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("settled", [True, False])
def test_a_request_during_the_shutdown_of_python_kills_nothing(number: signal.Signals, settled: bool) -> None:
    program = PROGRAM.format(number=int(number), settled=settled)
    done = subprocess.run([sys.executable, "-c", program], timeout=60)
    assert done.returncode == (0 if settled else -number)
