"""Putting a stored state back: the newest checkpoint that verifies, or the one that was asked for."""

from __future__ import annotations

from hydra.errors import CheckpointError
from hydra.runs import last_resume, read_events
from hydra.training.checkpoint import Checkpoints
from hydra.training.journal import Journal
from hydra.training.session import Session
from hydra.training.state import TrainState
from hydra.training.world import World


def restore(session: Session, state: TrainState, store: Checkpoints, journal: Journal, world: World) -> None:
    """Load weights, optimizer, counters and generators of a resumed run, and say so in its events.

    Rank 0 reads the checkpoint and the other ranks receive it, because the files are where rank 0 wrote them: hosts
    need not share a disk. A run that died before its first checkpoint begins at step 0 again, which is the same run.
    Raises CheckpointError when the checkpoint that was named, or every one there is, fails its digests.
    """
    if not session.resumed:
        journal.event("run.started", step=0, data={"ranks": world.size})
        return
    if session.lost is not None:
        journal.event("run.lost", level="warning", data={"attempt": session.attempt - 1, "reason": session.lost})
    step = session.step
    if step is None:
        step = world.share(_newest(session, store, journal) if world.leads else None)
    if step is not None:
        tensors = state.tensors()
        stored = world.share(store.load(step, tensors)["state"] if world.leads else None)
        world.spread(tensors.values())
        state.restore(stored, tensors)
        journal.resumed(state.step, state.tokens)
    journal.event(
        "run.resumed",
        step=state.step,
        data={"step": state.step, "ranks": world.size, "changed": list(session.changed)},
    )


def _newest(session: Session, store: Checkpoints, journal: Journal) -> int | None:
    step, rejected = store.newest_verified(last_resume(read_events(session.run.events).events))
    for verification in rejected:
        facts = {"step": verification.step, "problems": list(verification.problems)}
        journal.event("checkpoint.rejected", level="warning", step=verification.step, data=facts)
    if step is None and rejected:
        problems = "; ".join(f"step {item.step}: {', '.join(item.problems)}" for item in rejected)
        raise CheckpointError(
            f"no checkpoint of run {session.run.id} verifies: {problems}",
            why="continuing from damaged weights, or silently from step 0, would not be this run",
            fix="restore the files from a copy, or start a new run",
            example="python trainer.py",
        )
    return step
