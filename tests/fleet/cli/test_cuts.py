"""Commands whose connection is cut at any byte: they go on by themselves, and nothing is done twice."""

from __future__ import annotations

import random
from typing import Literal

import pytest

from tests.fleet.cli.site import HUNG, Site

#: Cuts at random bytes for each command; the full table of a night takes more.
CUTS = 4
#: Bytes of the key exchange and the login, in which a cut is a host that does not answer.
LOGIN = 4500
MODES: tuple[Literal["close", "rst"], ...] = ("close", "rst")


def passed(site: Site) -> int:
    """Bytes that went through the proxy so far."""
    return site.proxy.bytes_up + site.proxy.bytes_down


@pytest.fixture(scope="module")
def start_bytes(built: Site) -> int:
    """Bytes of a start that nobody disturbs."""
    before = passed(built)
    built.start(HUNG, "whole", "pause=0.02", steps=100000)
    whole = passed(built) - before
    built.end_runs()
    return whole


@pytest.mark.parametrize("number", range(CUTS))
def test_a_start_leaves_exactly_one_run(site: Site, start_bytes: int, number: int) -> None:
    place = random.Random(number).randrange(LOGIN, start_bytes - 500)
    site.proxy.cut_after(place, MODES[number % 2])
    done = site.start(HUNG, "cut", "pause=0.02", steps=100000, expect=None)
    site.proxy.disarm()
    assert done.code == 0, (place, done)
    live = site.fleet("runs", "h0", "--state", "running", "--json").data["runs"]
    assert [row["id"] for row in live] == [done.data[HUNG]["run"]]


@pytest.mark.parametrize("number", range(CUTS))
def test_a_stop_goes_on(site: Site, live: str, number: int) -> None:
    before = passed(site)
    site.fleet("status", HUNG)
    place = random.Random(number).randrange(LOGIN, max(LOGIN + 1000, passed(site) - before))
    site.proxy.cut_after(place, MODES[number % 2])
    done = site.fleet("stop", HUNG, "--json")
    site.proxy.disarm()
    [row] = done.data[HUNG]
    assert (row["run"], row["survivors"]) == (live, []) and row["proven"]
    assert row["checkpoint"]["step"] == site.steps(live)


@pytest.mark.parametrize(
    "command", [["status"], ["runs"], ["ps"], ["deploy"], ["setup"], ["doctor", "--quick"], ["logs"]]
)
def test_what_looks_or_is_known_by_its_digest_is_repeated(site: Site, command: list[str]) -> None:
    before = passed(site)
    site.fleet(command[0], HUNG, *command[1:])
    # In the middle of what the command says behind the login.
    site.proxy.cut_after((LOGIN + passed(site) - before) // 2, "rst")
    site.fleet(command[0], HUNG, *command[1:])
    assert site.proxy.has_cut
    site.proxy.disarm()
