"""The bell between the reading thread and the one that waits: no change is slept through, whoever rings."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from fleet.ssh.inbox import Inbox
from tests.fleet.ssh.scene import SOON

#: Rings of each of the threads.
RINGS = 5_000


def test_nothing_happens() -> None:
    inbox = Inbox()
    began = time.monotonic()
    assert not inbox.wait(inbox.changes, began + 0.05)
    assert 0.05 <= time.monotonic() - began < SOON


def test_what_has_changed_meanwhile_is_not_waited_for() -> None:
    inbox = Inbox()
    seen = inbox.changes
    inbox.feed("out", b"some")
    inbox.notice()
    assert inbox.wait(seen, time.monotonic() - 1)
    # The ring is still to be heard: it announces nothing after this mark.
    assert not inbox.wait(inbox.changes, time.monotonic() + 0.05)


def test_three_threads_ring_and_one_waits() -> None:
    """It takes away what each of them has put down; one ring that is slept through takes a second."""
    inbox, until = Inbox(), time.monotonic() + SOON
    taken = slept = 0

    def ring(_: int) -> None:
        for _ in range(RINGS):
            inbox.feed("out", b".")

    with ThreadPoolExecutor(3) as threads:
        ringing = [threads.submit(ring, number) for number in range(3)]
        while taken < 3 * RINGS and time.monotonic() < until:
            seen = inbox.changes
            while inbox.pieces:
                inbox.pieces.popleft()
                taken += 1
            if taken < 3 * RINGS and not inbox.wait(seen, time.monotonic() + 1):
                slept += bool(inbox.pieces)
        assert all(one.result(SOON) is None for one in ringing)
    assert (taken, slept) == (3 * RINGS, 0)


def test_a_ring_wakes_at_once() -> None:
    """Back and forth between two threads, each of which waits for the other."""
    here, there = Inbox(), Inbox()
    stop = time.monotonic() + SOON

    def answer() -> None:
        for _ in range(RINGS):
            seen = there.changes
            if not there.pieces:
                assert there.wait(seen, stop)
            there.pieces.popleft()
            here.feed("out", b".")

    thread = threading.Thread(target=answer)
    thread.start()
    for _ in range(RINGS):
        seen = here.changes
        there.feed("out", b".")
        assert here.wait(seen, stop)
        here.pieces.popleft()
    thread.join(SOON)
    assert not thread.is_alive()
