"""Connections break at any byte, and a download goes on where it stopped."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from fleet.download.downloading import FRUITLESS
from fleet.errors import DeadlinePassed, Unreachable
from fleet.ssh import Deadline
from tests.farm.cutting import CuttingTransport
from tests.fleet.download.conftest import RUN, content

#: Random cuts; the nightly table takes 1,000.
CUTS = 24
MODES = ("close", "rst", "hole")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts are the back-off's own test; here they would only take time."""
    monkeypatch.setattr("fleet.ssh.backoff.Backoff.next", lambda self: 0.001)


def test_it_survives_cuts_at_any_byte_in_every_mode(host, tree, tmp_path: Path) -> None:
    chance = random.Random(20)
    sizes = [1, 20, 60_000, 30_000]
    cuts = [(chance.randint(1, sizes[number % 4]), chance.choice(MODES)) for number in range(CUTS)]
    transport = CuttingTransport(host.transport, cuts)
    done = host.download(tmp_path / "to", transport)
    there, here = tree(host.run), tree(tmp_path / "to")
    assert all(here[path] == there[path] for path in here)
    assert transport.cut >= CUTS // 2
    total = sum(map(len, here.values()))
    assert done.bytes_received == total, "not one byte came twice"


def test_a_cut_in_the_middle_costs_almost_nothing(host, tmp_path: Path) -> None:
    """Target 7, counted in bytes of the stream; over a real connection tests/fleet/download/test_over_ssh.py does."""
    big = 24 << 20
    (host.run / "profiles").mkdir()
    (host.run / "profiles/trace.bin").write_bytes(content(1, big))
    transport = CuttingTransport(host.transport, [(big // 2, "rst")])
    host.download(tmp_path / "to", transport, include=["profiles"])
    assert transport.sent - big <= big // 20 + (1 << 20)
    assert (tmp_path / "to/profiles/trace.bin").read_bytes() == content(1, big)


def test_the_next_command_goes_on_where_a_killed_one_stopped(host, tmp_path: Path) -> None:
    transport = CuttingTransport(host.transport, [(200_000, "rst")] + [(1, "rst")] * FRUITLESS)
    with pytest.raises(Unreachable):
        host.download(tmp_path / "to", transport, include=["checkpoints"])
    assert not list((tmp_path / "to").rglob("*.safetensors")), "nothing incomplete has its final name"
    [part] = (tmp_path / "to").rglob("shard*.part")
    kept = part.stat().st_size
    assert kept > 100_000
    done = host.download(tmp_path / "to", include=["checkpoints"])
    assert done.bytes_reused >= kept
    assert not list((tmp_path / "to").rglob("*.part"))


def test_parts_of_an_older_version_are_not_gone_on_with_and_go_away(host, tmp_path: Path) -> None:
    transport = CuttingTransport(host.transport, [(50_000, "rst")] + [(1, "rst")] * FRUITLESS)
    with pytest.raises(Unreachable):
        host.download(tmp_path / "to", transport, include=["log"])
    (host.run / "log/00000000000000000000.seg").write_bytes(content(8, 100_000))
    (tmp_path / "to/log/notes.0123456789abcdef.part").write_text("somebody's own")
    host.download(tmp_path / "to", include=["log"])
    assert {path.name for path in (tmp_path / "to/log").iterdir()} == {
        "00000000000000000000.seg",
        "notes.0123456789abcdef.part",
    }
    assert (tmp_path / "to/log/00000000000000000000.seg").read_bytes() == content(8, 100_000)


def test_a_part_that_was_damaged_here_does_not_verify_and_is_dropped(host, tmp_path: Path) -> None:
    transport = CuttingTransport(host.transport, [(50_000, "rst")] + [(1, "rst")] * FRUITLESS)
    with pytest.raises(Unreachable):
        host.download(tmp_path / "to", transport, include=["log"])
    [part] = (tmp_path / "to").rglob("*.part")
    part.write_bytes(bytes(part.stat().st_size))
    with pytest.raises(Exception, match="did not verify"):
        host.download(tmp_path / "to", include=["log"])
    assert not list((tmp_path / "to").rglob("*.part"))
    host.download(tmp_path / "to", include=["log"])


def test_a_host_that_never_comes_back_is_given_up(host, tmp_path: Path) -> None:
    transport = CuttingTransport(host.transport, [(0, "rst")] * 50)
    with pytest.raises(Unreachable):
        host.download(tmp_path / "to", transport)
    assert transport.streams == FRUITLESS


def test_a_deadline_holds_between_attempts(host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.ssh.backoff.Backoff.next", lambda self: 60.0)
    transport = CuttingTransport(host.transport, [(100, "rst")] * 50)
    with pytest.raises(DeadlinePassed, match=RUN):
        host.download(tmp_path / "to", transport, deadline=Deadline.after(1.0))


def test_no_thread_stays(host, tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(Unreachable):
        host.download(tmp_path / "to", CuttingTransport(host.transport, [(30_000, "rst")] + [(1, "rst")] * FRUITLESS))
    assert threading.active_count() == before
