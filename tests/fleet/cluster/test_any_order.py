"""Whatever members say in whatever order: the lead's decisions keep their promises."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fleet.remote.coordinator import Coordinator
from fleet.remote.group_status import Said, Told
from tests.fleet.cluster.launches import failure, launch

ADDRESSES = ["127.0.9.1", "127.0.9.2", "127.0.9.3"]
NODES = st.sampled_from(range(len(ADDRESSES)))
#: A nightly run may take many more.
EXAMPLES = 60
KINDS = st.sampled_from(["DeviceMemoryError", "PeerLost", None])


class AnyOrder(RuleBasedStateMachine):
    """Three nodes that do what nodes can do, at any moment, and repeat what they said as time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.core = Coordinator(launch(0, ADDRESSES, 1), silence=5.0, patience=60.0)
        self.said = [Said(0) for _ in ADDRESSES]
        self.before: Told | None = None
        self.stopped = False

    def say(self, node: int, **fields: Any) -> None:
        self.said[node] = self.said[node]._replace(**fields)
        self.core.take(node, self.said[node], self.now)

    @rule(node=NODES, step=st.none() | st.integers(0, 50))
    def ready(self, node: int, step: int | None) -> None:
        """A node gets ready for its first attempt, or for the next one when it was told to."""
        said, order = self.said[node], self.core.told(node, self.now).order
        again = order is not None and order["action"] == "restart" and said.attempt == self.core.told(0, 0.0).attempt
        if not said.left and said.ended is None and (said.attempt == 0 or again):
            self.say(node, attempt=said.attempt + 1, ready=True, step=step, failing=None, failure=None)

    @rule(node=NODES, kind=KINDS, early=st.booleans())
    def fail(self, node: int, kind: str | None, early: bool) -> None:
        """A rank of a running node fails."""
        said = self.said[node]
        if said.attempt and said.attempt == self.core.told(0, 0.0).attempt and said.ended is None:
            report = failure(None if kind is None else 7, kind=kind, signal=9 if kind is None else None, node=node)
            self.say(node, **{"failing" if early else "failure": report})

    @rule(node=NODES, state=st.sampled_from(["completed", "stopped"]))
    def end(self, node: int, state: str) -> None:
        """A node's attempt ends well."""
        if self.said[node].attempt and self.said[node].failure is None:
            self.say(node, ended=self.said[node].ended or state)

    @rule(node=NODES, kill=st.booleans())
    def ask_to_stop(self, node: int, kill: bool) -> None:
        """A user stops the run on some node."""
        self.stopped = True
        self.say(node, stop={"grace": 30.0, "kill": kill})

    @rule(node=NODES)
    def leave(self, node: int) -> None:
        """A supervisor ends."""
        self.say(node, left=True)

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]), silent=st.sets(NODES))
    def time_passes(self, seconds: float, silent: set[int]) -> None:
        """Nodes that are not silent repeat what they said, in half-second steps."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            for node, said in enumerate(self.said):
                if node not in silent and not said.left:
                    self.core.take(node, said, self.now)
            self.core.look(self.now)

    @invariant()
    def promises_hold(self) -> None:
        """Attempts and orders only go on; an end is final but for a good one; no restart after a stop."""
        told = [self.core.told(node, self.now) for node in range(len(ADDRESSES))]
        first, before = told[0], self.before
        assert all(one._replace(halt=None) == first._replace(halt=None) for one in told), "all are told the same"
        assert first.order is None or all(one.halt is None for one in told), "an order replaces the halt before it"
        if before is not None:
            assert first.attempt >= before.attempt
            assert before.verdict in (None, first.verdict)
            if before.order is not None and before.order["action"] == "stop":
                assert first.order is not None and first.attempt == before.attempt
                same = first.order == before.order
                assert same or first.order["reason"] == "rank 0 has ended well", "an end is not taken back"
            if before.stop is not None:
                assert first.attempt == before.attempt, "nothing starts after a stop"
                assert first.stop is not None and first.stop["kill"] >= before.stop["kill"]
            if before.stop is not None and first.order != before.order:
                assert first.order is not None and first.order["action"] == "stop"
        assert (first.stop is not None) == self.stopped
        self.before = first

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        """Once every node has ended, failed or gone, all know what follows."""
        over = [said.ended or said.failure or said.left for said in self.said]
        if not all(over) or self.core.told(0, self.now).attempt == 0:
            return
        core, later = copy.deepcopy(self.core), self.now
        for _ in range(120):
            later += 0.5
            core.look(later)
        told = core.told(0, later)
        assert told.order is not None or told.verdict is not None


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None)
