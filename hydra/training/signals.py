"""Signals as requests: a handler only notes what was asked; the loop acts at a step boundary.

TERM and the first INT ask to stop, USR1 asks for a checkpoint, a second INT aborts at once (whoever asked first), HUP
asks to stop when a terminal closes and is ignored when there is none to lose. Installed before torch is imported, so
that no moment of a run is deaf.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType


class Requests:
    """What has been asked for so far; flags only rise, except `save`, which the loop takes."""

    def __init__(self) -> None:
        self.stop: str | None = None
        """Name of the signal or control file that asked to stop."""
        self.save = False
        self.evaluate = False

    def take_save(self) -> bool:
        """Whether a checkpoint was asked for since the last call."""
        asked, self.save = self.save, False
        return asked

    def take_evaluate(self) -> bool:
        """Whether an evaluation was asked for since the last call."""
        asked, self.evaluate = self.evaluate, False
        return asked


def install() -> Requests:
    """Start listening; the returned requests are filled in by the handlers."""
    requests = Requests()
    interrupted = False

    def on_term(number: int, frame: FrameType | None) -> None:
        requests.stop = requests.stop or "SIGTERM"

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        requests.stop = requests.stop or "SIGINT"

    def on_user(number: int, frame: FrameType | None) -> None:
        requests.save = True

    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGINT, on_interrupt)
    signal.signal(signal.SIGUSR1, on_user)

    def on_hangup(number: int, frame: FrameType | None) -> None:
        requests.stop = requests.stop or "SIGHUP"

    has_terminal = sys.stdin is not None and sys.stdin.isatty()
    signal.signal(signal.SIGHUP, on_hangup if has_terminal else signal.SIG_IGN)
    return requests


def settle() -> None:
    """Training has ended and its record is written: a request to stop that comes now has nothing left to stop.

    While Python shuts down, which takes a second after torch, it gives TERM back its deadly default unless the signal
    is ignored. A run of several hosts that was asked to stop would then count as failed on the last rank to leave.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
