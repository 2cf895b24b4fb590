"""`from fleet import Fleet`: what the command line can do, a program can do."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from fleet import Fleet
from fleet.cli.commands import COMMANDS
from fleet.control.commands import RemoteCommand
from fleet.control.planning import TrainOptions
from fleet.control.resuming import ResumeOptions
from fleet.errors import Unreachable, Usage
from fleet.logs import Ended, Line
from tests.fleet.cli.site import OFFLINE, Site

#: Commands that are about a person at a terminal, or are called otherwise in Python.
ELSEWHERE = {"ssh", "trust", "config", "ps", "logs", "events", "sync-keys"}


@pytest.fixture
def fleet(site: Site) -> Iterator[Fleet]:
    """The fleet of the test's project."""
    with Fleet.open(site.config) as opened:
        yield opened


def test_every_command_is_a_method() -> None:
    methods = {name for name, _ in inspect.getmembers(Fleet, inspect.isfunction)}
    assert COMMANDS.keys() - ELSEWHERE <= methods
    assert {"processes", "follow", "sync_keys"} <= methods


def test_the_life_of_a_run(site: Site, fleet: Fleet) -> None:
    arguments = ("--set", "training.steps=100000", "--set", 'notes="pause=0.02"')
    started = fleet.train("h0", TrainOptions(name="api", arguments=arguments)).only()
    assert started.confirmed == "line"
    lines = [record for _, record in zip(range(5), fleet.follow("h0", started.run), strict=False)]
    assert all(isinstance(record, Line) for _, record in lines)
    [stopped] = fleet.stop("h0").only()
    assert stopped.proven and stopped.checkpoint is not None
    assert fleet.resume("h0", ResumeOptions(run=started.run)).only().resumed_from == stopped.checkpoint["step"]
    fleet.stop("h0")
    [*_, (host, last)] = fleet.follow("h0", started.run)
    assert host == "h0" and isinstance(last, Ended) and last.state == "stopped"


def test_reports_have_a_row_or_an_error_for_each_host(site: Site, fleet: Fleet) -> None:
    report = fleet.run(f"h0,{OFFLINE},h1", RemoteCommand(("true",)))
    assert report.rows == {"h0": 0, "h1": 0}
    assert [(type(error), error.host) for error in report.errors] == [(Unreachable, OFFLINE)]
    with pytest.raises(Unreachable):
        fleet.deploy(OFFLINE).only()
    with pytest.raises(Usage):
        fleet.deploy("nobody")
    assert fleet.deploy("h0").only().action == "noop"
    assert {row.name for row in fleet.status().rows.values()} == set(fleet.session.inventory.instances)
