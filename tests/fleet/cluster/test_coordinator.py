"""The lead's decisions, without sockets or waiting: start together, one culprit, one decision, one end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fleet.remote.coordinator import LINGER, PREPARE, Coordinator
from fleet.remote.culprits import CONSEQUENCE, REPORT
from fleet.remote.group_status import Said
from tests.fleet.cluster.launches import failure, launch

ADDRESSES = ["127.0.9.1", "127.0.9.2", "127.0.9.3"]
PEER_LOST = {"kind": "PeerLost", "code": 7}


class Group:
    """A coordinator with three nodes, and its clock."""

    def __init__(self, **changes: Any) -> None:
        self.now = 100.0
        self.core = Coordinator(launch(0, ADDRESSES, 1, **changes), silence=5.0, patience=60.0)
        self.said = [Said(0) for _ in ADDRESSES]

    def say(self, node: int, **fields: Any) -> None:
        """A node changes its status."""
        self.said[node] = self.said[node]._replace(**fields)
        self.core.take(node, self.said[node], self.now)

    def wait(self, seconds: float, *silent: int) -> None:
        """Time passes; every node that is not silent repeats what it said."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            for node, said in enumerate(self.said):
                if node not in silent and said.attempt:
                    self.core.take(node, said, self.now)
            self.core.look(self.now)

    def ready(self, attempt: int, *steps: int | None) -> None:
        """Nodes get ready, one after the other."""
        for node, step in enumerate(steps or (None,) * len(ADDRESSES)):
            self.said[node] = Said(attempt, ready=True, step=step)
            self.core.take(node, self.said[node], self.now)

    def told(self, node: int = 1) -> Any:
        """What a node is told."""
        return self.core.told(node, self.now)

    @property
    def order(self) -> dict[str, Any]:
        """What was ordered."""
        order = self.told().order
        assert order is not None
        return order


@pytest.fixture
def running() -> Group:
    """A group whose first attempt runs."""
    group = Group()
    group.ready(1)
    assert group.told().attempt == 1
    return group


def test_nobody_starts_before_all_are_ready() -> None:
    group = Group()
    group.ready(1, 40, 30)
    assert group.told().attempt == 0
    group.ready(1, 40, 30, None)
    assert (group.told().attempt, group.told().step) == (1, 40), "rank 0 reads for all"


def test_without_a_checkpoint_on_the_first_node_nothing_is_prescribed() -> None:
    group = Group()
    group.ready(4, None, 30, None)
    assert (group.told().attempt, group.told().step) == (4, None)


def test_a_node_that_never_came_is_named() -> None:
    group = Group()
    group.ready(1, None, None)
    group.wait(60, 2)
    assert group.told().order is None
    group.wait(1, 2)
    assert group.order["action"] == "stop" and "missing: h2" in group.order["reason"]
    assert group.order["exit"]["culprit"]["node"] == 2 and group.order["exit"]["kind"] == "NotReady"


def test_a_node_that_reads_its_checkpoints_is_waited_for() -> None:
    group = Group()
    group.ready(2, 40, 40)
    group.core.hear(2, group.now)
    for _ in range(100):
        group.wait(1)
        group.core.hear(2, group.now)
    assert group.told().order is None, "100 s, and it shows that it lives"
    for _ in range(int(PREPARE)):
        group.wait(1)
        group.core.hear(2, group.now)
    assert "missing: h2" in group.order["reason"]


def test_a_node_that_came_and_fell_silent_is_not_waited_for() -> None:
    group = Group()
    group.ready(1, None, None)
    group.wait(6, 1)
    assert group.order["exit"]["culprit"]["node"] == 1 and group.order["exit"]["kind"] == "NodeLost"


def test_the_first_failure_is_the_culprit_and_all_restart(running: Group) -> None:
    running.say(1, failure=failure(rank=1))
    running.say(2, failure=failure(rank=2, node=2))
    assert running.order["action"] == "restart" and "rank 1 on h1 failed first" in running.order["reason"]
    assert running.order["exit"]["culprit"]["message"] == "on h1: it failed"
    assert running.order["lines"] == ["a last line"]
    running.ready(2, 8, None, None)
    assert (running.told().attempt, running.told().step, running.told().order) == (2, 8, None)


def test_who_lost_a_peer_waits_for_the_peers_own_reason(running: Group) -> None:
    running.say(0, failure=failure(rank=0, node=0, **PEER_LOST))
    assert running.told().order is None
    running.say(1, failure=failure(None, kind=None, signal=9))
    assert running.order["exit"]["culprit"]["rank"] == 1 and "signal 9" in running.order["reason"]
    running.ready(2)
    running.say(0, failure=failure(rank=0, node=0, **PEER_LOST))
    running.wait(CONSEQUENCE + 0.5)
    assert running.order["exit"]["culprit"]["rank"] == 0, "nobody had a better reason"


def test_a_node_with_other_ranks_to_end_first_is_still_the_culprit(running: Group) -> None:
    """With eight ranks on a node, seven have to be ended before the node can tell how it ended."""
    running.say(1, failing=failure(None, kind=None, signal=9))
    assert running.told(0).halt == "rank 1 on h1 failed" and running.told(1).halt is None
    running.say(0, failure=failure(rank=0, node=0, **PEER_LOST))
    running.wait(3)
    assert running.told().order is None
    running.say(1, failure={**failure(None, kind=None, signal=9), "state": "oom"})
    assert running.order["state"] == "oom" and running.order["exit"]["culprit"]["node"] == 1
    assert running.told(0).halt is None


def test_a_failing_rank_whose_node_tells_no_more_is_judged_by_what_is_known(running: Group) -> None:
    running.say(1, failing=failure(None, kind=None, signal=9))
    running.wait(REPORT + 1)
    assert running.order["action"] == "restart" and running.order["exit"]["signal"] == 9


def test_a_failing_rank_whose_node_falls_silent_is_the_reason(running: Group) -> None:
    running.say(1, failing=failure(None, kind=None, signal=9))
    running.wait(6, 1)
    assert running.order["action"] == "stop" and running.order["exit"]["signal"] == 9
    assert "was silent" in running.order["reason"]


def test_a_failure_that_cannot_be_helped_stops_all(running: Group) -> None:
    running.say(2, failure=failure(2, node=2, rank=2, retry=False))
    assert (running.order["action"], running.order["state"]) == ("stop", "failed")
    assert "starting again cannot help" in running.order["reason"]


def test_the_budget_is_that_of_the_whole_run(running: Group) -> None:
    for attempt, node in enumerate((1, 2, 1), 1):
        running.say(node, failure=failure(node=node, rank=node, step=attempt))
        assert running.order["action"] == "restart"
        running.ready(attempt + 1)
    running.say(2, failure=failure(node=2, rank=2, step=9))
    assert running.order["action"] == "stop" and "3 restarts in an hour are spent" in running.order["reason"]


def test_a_silent_node_stops_the_others(running: Group) -> None:
    running.wait(5, 2)
    assert running.told().order is None
    running.wait(1, 2)
    assert (running.order["action"], running.order["exit"]["kind"]) == ("stop", "NodeLost")
    assert running.order["exit"]["culprit"] == {
        "rank": 2,
        "node": 2,
        "exception": "NodeLost",
        "message": "h2 was silent for 5 s",
    }


def test_a_node_that_dies_before_the_restart_ends_the_run(running: Group) -> None:
    running.say(1, failure=failure())
    assert running.order["action"] == "restart"
    running.wait(6, 2)
    assert (running.order["action"], running.order["exit"]["culprit"]["node"]) == ("stop", 2)
    assert running.order["number"] == 2


def test_the_last_failure_of_an_attempt_counts_once(running: Group) -> None:
    running.say(1, failure=failure())
    running.wait(3)
    assert running.order["number"] == 1, "a status that is repeated is no further failure"


@pytest.mark.parametrize("state", ["completed", "stopped"])
def test_the_node_of_rank_0_says_how_the_run_ended(running: Group, state: str) -> None:
    running.say(1, ended="completed")
    running.say(0, ended=state)
    assert running.told().verdict is None, "h2 is still at it"
    running.wait(10, 1)
    assert running.told().order is None, "who has ended well is not missed"
    running.say(2, ended="completed")
    assert running.told().verdict == state and running.told().order is None


def test_nodes_that_do_not_end_after_rank_0_are_ended(running: Group) -> None:
    running.say(0, ended="completed")
    running.say(1, ended="completed")
    running.wait(LINGER)
    assert running.told().verdict is None
    running.wait(1)
    assert running.told().verdict == "completed"
    assert (running.order["action"], running.order["state"], running.order["exit"]["code"]) == ("stop", "completed", 0)


def test_what_fails_after_the_last_step_is_not_done_again(running: Group) -> None:
    running.say(0, ended="completed")
    running.say(1, ended="completed")
    running.say(2, failure=failure(1, node=2, rank=2))
    assert running.told().verdict == "completed" and running.order["state"] == "completed"


def test_a_good_end_beats_a_restart_that_crossed_it(running: Group) -> None:
    running.say(1, failure=failure(1))
    assert running.order["action"] == "restart"
    running.say(0, ended="completed")
    assert (running.order["action"], running.order["state"], running.order["number"]) == ("stop", "completed", 2)


def stop_in(phase: str) -> Group:
    """A group in some phase, one of whose nodes is asked to stop."""
    group = Group()
    group.ready(1, *(() if phase != "starting" else (None, None)))
    if phase == "backoff":
        group.say(1, failure=failure())
    group.say(1, stop={"grace": 30.0, "kill": False})
    return group


@pytest.mark.parametrize("phase", ["starting", "running", "backoff"])
def test_a_stop_that_one_node_is_asked_for_is_meant_for_all(phase: str) -> None:
    group = stop_in(phase)
    assert [group.told(node).stop for node in range(3)] == [{"by": "h1", "grace": 30.0, "kill": False}] * 3
    group.ready(2)
    assert group.told().attempt <= 1, "nothing starts any more"
    version = group.core.version
    group.now += 4
    group.say(1, stop={"grace": 26.0, "kill": False})
    group.say(2, stop={"grace": 25.5, "kill": False})
    assert group.core.version == version and group.told().stop["grace"] == 26.0
    group.say(2, stop={"grace": 25.0, "kill": True})
    assert group.told().stop["kill"] and group.core.version > version


@pytest.mark.parametrize(
    "happens",
    [
        lambda group: group.say(0, failure=failure(rank=0, node=0, **PEER_LOST)),
        lambda group: group.say(2, failure=failure(rank=2, node=2)),
        lambda group: group.say(2, left=True),
        lambda group: group.wait(7, 2),
    ],
)
def test_nothing_restarts_a_run_that_a_user_stops(happens: Callable[[Group], None]) -> None:
    group = stop_in("running")
    happens(group)
    group.wait(2)
    assert (group.order["action"], group.order["state"], group.order["exit"]["kind"]) == (
        "stop",
        "stopped",
        "requested",
    )


def test_a_node_that_leaves_in_the_middle_ends_the_run(running: Group) -> None:
    running.say(1, left=True)
    assert running.order["action"] == "stop" and "h1 left the run" in running.order["reason"]
