"""Waits between attempts grow, end growing, and differ from process to process."""

from __future__ import annotations

from fleet.ssh.backoff import Backoff


def test_waits_grow_from_a_fifth_of_a_second_to_five() -> None:
    for _ in range(50):
        backoff = Backoff()
        waits = [backoff.next() for _ in range(12)]
        assert waits[0] == 0.2
        assert all(0.2 <= wait <= 5.0 for wait in waits)
        assert all(min(5.0, 0.2 * 2**number) / 2 <= wait for number, wait in enumerate(waits))
        assert sum(waits[:3]) < 2, "following goes on within 2 s of a short cut"


def test_they_begin_again_after_something_went_well() -> None:
    backoff = Backoff()
    for _ in range(8):
        backoff.next()
    backoff.reset()
    assert backoff.next() == 0.2


def test_followers_that_lost_one_link_do_not_come_back_together() -> None:
    backoffs = [Backoff() for _ in range(20)]
    for backoff in backoffs:
        backoff.next()
    assert len({backoff.next() for backoff in backoffs}) > 15
