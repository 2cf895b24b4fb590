"""Target 7 over real OpenSSH: what an interrupted download sends again, counted by the proxy in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.agent import Agent
from fleet.download import download
from fleet.ssh import Deadline, Endpoint, Pool, Watchdog
from tests.fleet.download.conftest import RUN, content

SIZE = 48 << 20
#: What the whole dialogue costs beside the file: key exchange, the agent, packet headers.
OVERHEAD = 0.01


@pytest.fixture
def place(farm, proxy, tmp_path: Path) -> Iterator:
    """A host behind a proxy with one run that has one big file."""
    made = farm(1).hosts[0]
    front = proxy(made)
    endpoint = Endpoint(
        "h0", front.address, front.port, made.user, made.identity, host_key=made.host_key, watchdog=Watchdog(0.3, 0.9)
    )
    root = made.home / f"deploy-{time.time_ns()}"
    run = root / "runs" / RUN
    run.mkdir(parents=True)
    (run / "trace.bin").write_bytes(content(1, SIZE))
    (run / "small.txt").touch()
    with Pool({"h0": endpoint}) as pool:
        agent = Agent(pool.to(endpoint), str(root))

        def fetch(**options):
            return download(
                lambda: pool.get("h0", Deadline.after(10)),
                lambda command, request: agent.call(command, request, deadline=Deadline.after(30)),
                str(root),
                RUN,
                tmp_path / "to",
                deadline=Deadline.after(60),
                **options,
            )

        fetch(include=["small.txt"])
        yield front, fetch


@pytest.mark.parametrize("mode", ["close", "rst", "hole"])
def test_a_cut_in_the_middle_costs_almost_nothing(place, tmp_path: Path, mode: str) -> None:
    front, fetch = place
    before = front.bytes_down
    front.cut_after(SIZE // 2, mode, "down")
    done = fetch()
    assert front.has_cut
    assert (tmp_path / "to/trace.bin").read_bytes() == content(1, SIZE)
    again = front.bytes_down - before - SIZE * (1 + OVERHEAD)
    assert again <= SIZE * 0.05 + (1 << 20)
    assert done.bytes_received <= SIZE * 1.05 + (1 << 20)


def test_a_transfer_that_keeps_breaking_ends_well(place, tmp_path: Path) -> None:
    front, fetch = place
    cuts = iter([SIZE // 10, SIZE // 7, 100_000, SIZE // 5, 1000])

    def break_again(progress) -> None:
        if front.has_cut and (count := next(cuts, None)) is not None:
            front.cut_after(count, "rst", "down")

    front.cut_after(50_000, "close", "down")
    fetch(on_progress=break_again)
    assert (tmp_path / "to/trace.bin").read_bytes() == content(1, SIZE)
    assert next(cuts, None) is None
