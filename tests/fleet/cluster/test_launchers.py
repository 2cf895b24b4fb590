"""A launcher that waits in vain after a good end of its ranks is ended; after anything else it tells how it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.remote.workers import Workers
from tests.fleet.cluster.clusters import RUN, Cluster
from tests.fleet.remote.hosts import Host, wait_for

Clusters = Callable[..., Cluster]


class Ranks:
    """Two ranks whose launcher is this process."""

    def __init__(self) -> None:
        program = [sys.executable, "-S", "-c", "import sys; sys.exit(int(sys.stdin.readline()))"]
        self._ranks = [
            subprocess.Popen(program, stdin=subprocess.PIPE, env={"RANK": str(number)}) for number in range(2)
        ]
        self.workers = Workers(os.getpid(), 2)
        for handle in wait_for(self._found, "both ranks"):
            os.close(handle)

    def end(self, rank: int, status: int, *, collect: bool) -> None:
        """End a rank, and collect it before the supervisor looks, or not."""
        ended = self._ranks[rank]
        assert ended.stdin is not None
        ended.stdin.write(b"%d\n" % status)
        ended.stdin.close()
        os.waitid(os.P_PID, ended.pid, os.WEXITED | (0 if collect else os.WNOWAIT))
        self.workers.look()

    def close(self) -> None:
        """End what is left."""
        for one in self._ranks:
            assert one.stdin is not None
            one.stdin.close()
            one.wait(10)

    def _found(self) -> list[int]:
        self._handles = [*getattr(self, "_handles", []), *self.workers.look()]
        return self._handles if len(self._handles) == 2 else []


@pytest.fixture
def ranks() -> Iterator[Ranks]:
    """Ranks that wait to be told their status."""
    made = Ranks()
    yield made
    made.close()


def test_all_ended_well_only_when_that_was_seen_of_each(ranks: Ranks) -> None:
    ranks.end(0, 0, collect=False)
    assert ranks.workers.well_at is None, "one of two"
    ranks.end(1, 0, collect=False)
    assert ranks.workers.well_at is not None and ranks.workers.well_at <= time.monotonic()


@pytest.mark.parametrize(("status", "collect"), [(3, False), (3, True), (0, True)])
def test_a_rank_that_failed_or_was_not_seen_is_no_good_end(ranks: Ranks, status: int, collect: bool) -> None:
    ranks.end(0, status, collect=collect)
    ranks.end(1, 0, collect=False)
    assert ranks.workers.well_at is None
    assert [failure.code for failure in ranks.workers.failures] == ([] if collect else [3])


def test_launchers_that_wait_for_each_other_in_vain_are_ended(cluster: Clusters, hasty_agent: Path) -> None:
    """When its ranks have ended well torchrun waits 5 minutes for those of other nodes, which may have failed."""
    done, stopped = cluster(2, hasty_agent), cluster(2, hasty_agent)
    mute, talking = (cluster(1, hasty_agent, nproc=2, max_restarts=0) for _ in range(2))
    started = [*done.begin("--steps", "20", "--barrier"), *stopped.begin("--barrier")]
    started += [*mute.begin("--steps", "20", "--barrier", "--mute"), *talking.begin("--steps", "20", "--talk")]
    stopped.wait_step(3)
    began = time.monotonic()
    answer = stopped.hosts[1].stop(RUN, grace=60)
    assert time.monotonic() - began < 10 and answer["state"] == "stopped"
    assert [state.state for state in stopped.states()] == ["stopped", "stopped"]
    assert [(state.state, state.exit and state.exit.code) for state in done.states()] == [("completed", 0)] * 2
    [silent], [loud] = mute.states(), talking.states()
    assert silent.state == "failed" and silent.exit is not None and silent.exit.kind == "NoFinalRecord"
    assert loud.state == "failed" and loud.exit is not None and loud.exit.code == 3, "it was busy, and told by itself"
    assert all(Host.outcome(one)[0] == 0 for one in started)


def test_a_rank_that_failed_unseen_is_told_by_its_launcher(cluster: Clusters, hasty_agent: Path) -> None:
    """The trainer has written its final record, so that nothing but the launcher's word tells of the failure."""
    one = cluster(1, hasty_agent, nproc=2, max_restarts=0)
    one.start("--steps", "20", "--last", "1@3", "--slow=1.5")
    one.wait_step(1)
    ranks, supervisor = [one.rank(rank, 0) for rank in range(2)], one.hosts[0].supervisor(RUN)
    supervisor.end(signal.SIGSTOP)
    try:
        wait_for(lambda: not any(Path("/proc", str(rank.pid)).exists() for rank in ranks), "its launcher to collect")
    finally:
        supervisor.end(signal.SIGCONT)
    [state] = one.states()
    assert dict(one.hosts[0].events(RUN))["run.completed"]
    assert state.state == "failed" and state.exit is not None and state.exit.culprit is not None
    assert (state.exit.code, state.exit.culprit.rank) == (3, 1)
