"""Several ranks under the real torchrun: who wrote what, who failed first, and a stop that lets all of them save."""

from __future__ import annotations

import time

from tests.farm.processes import descendants
from tests.fleet.remote.hosts import Host, wait_for
from tests.fleet.remote.programs import CONTRACT

#: A rank that needs no torch. With `--deaf` it ignores TERM, as one that waits in a collective. Rank 1 dies when the
#: file `die` tells it to.
RANK = (
    CONTRACT
    + """
rank = int(os.environ["RANK"])
signal.signal(signal.SIGTERM, lambda *_: asked.append("TERM"))
if rank == 0:
    resumed_from()
print("rank", rank, "is", os.getpid(), flush=True)
print("stderr of", rank, file=sys.stderr, flush=True)
step = 0
while not asked or "--deaf" in sys.argv:
    time.sleep(0.02)
    step += 1
    if rank == 0:
        progress(step)
    if rank == 1 and os.path.exists(path("die")):
        os.kill(os.getpid(), 9)
time.sleep(0.3)
if rank == 0:
    save(step)
    event("run.stopped", step, step=step, saved_step=step, code=0)
"""
)


def start(host: Host, *arguments: str) -> dict:
    """Start two ranks, and wait until both have spoken."""
    host.release("ranks", {"trainer.py": RANK})
    changes = {"release": "ranks", "nproc": 2, "max_restarts": 0, "confirm_seconds": 30}
    answer = host.start("run-a", "trainer.py", *arguments, **changes)
    wait_for(lambda: len({f.rank for f in host.frames("run-a") if f.text.startswith("rank")}) == 2, "both ranks")
    return answer


def test_ranks_are_named_and_told_to_stop_by_themselves(host: Host) -> None:
    """TERM reaches the ranks, not torchrun, which would kill them in the middle of a save."""
    answer = start(host)
    assert answer["state"] == "running" and answer["confirmed"] == "line"
    rows = host.call("ps")["processes"]
    assert sorted((row["role"], row["rank"]) for row in rows if row["role"] != "other") == [
        ("launcher", None),
        ("rank", 0),
        ("rank", 1),
        ("supervisor", None),
    ]
    answer = host.stop("run-a", grace=30)
    assert answer["state"] == "stopped" and answer["proven"] and answer["exit"]["code"] == 0
    frames = host.frames("run-a")
    ranks = [(frame.rank, frame.text.split()[1]) for frame in frames if frame.text.startswith("rank ")]
    assert sorted(ranks) == [(0, "0"), (1, "1")]
    errors = [frame for frame in frames if frame.text.startswith("stderr of")]
    assert sorted((frame.rank, frame.stream) for frame in errors) == [(0, "err"), (1, "err")]
    assert not (host.directory("run-a").path / "launcher").exists(), "the launcher's copies of the output"


def test_a_killed_rank_is_the_culprit_and_its_peers_end_in_time(host: Host) -> None:
    """torchrun itself would wait 30 s for a rank that ignores TERM, and say status 1."""
    start(host, "--deaf")
    family = descendants(host.supervisor("run-a").pid)
    (host.directory("run-a").path / "die").touch()
    began = time.monotonic()
    state = host.wait_state("run-a")
    assert time.monotonic() - began < 20
    assert state.state == "killed" and state.exit is not None
    assert (state.exit.code, state.exit.signal, state.exit.retry) == (None, 9, True)
    assert state.exit.culprit is not None and state.exit.culprit.rank == 1
    assert not [process for process in family if process.alive()]
