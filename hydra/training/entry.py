"""One training command from start to exit code: open the run, train it, and write how it ended whatever happens."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

from hydra.errors import HydraError, UsageError
from hydra.manifest import Experiment
from hydra.platform import capabilities
from hydra.training.assembly import assemble, describe, paths
from hydra.training.building import build_run
from hydra.training.console import Console
from hydra.training.ending import Ending, conclude
from hydra.training.fairness import closing, opening
from hydra.training.identity import Identity, identity
from hydra.training.journal import Journal, LeadJournal, RankJournal
from hydra.training.loop import Outcome
from hydra.training.options import TrainOptions
from hydra.training.session import Session, experiment_of, resume, select, start
from hydra.training.signals import Requests
from hydra.training.world import World

_CHILD_POLL_SECONDS = 0.5


def train(options: TrainOptions, requests: Requests) -> int:
    """Carry out a training command in this process and return its exit code. Raises HydraError before a run is open."""
    who = identity()
    if options.resume is None:
        experiment = experiment_of(options)
        if options.only is None and len(experiment.runs) > 1:
            return train_each(experiment, options, who, requests)
    world = World(who)
    try:
        session = _open(options, who, world)
        return session if isinstance(session, int) else _train_session(session, who, world, requests)
    finally:
        world.close()


def _open(options: TrainOptions, who: Identity, world: World) -> Session | int:
    """The run on every rank: rank 0 creates or finds it, the others are told where it is.

    When rank 0 is refused it says why, and the others get the exit code alone: one message, and nobody waits.
    """
    if not world.leads:
        told = world.share(None)
        return told if isinstance(told, int) else Session.received(told, who)
    try:
        session = _opened(options, who)
    except HydraError as refused:
        world.share(refused.exit_code)
        raise
    world.share(session.shared())
    return session


def _opened(options: TrainOptions, who: Identity) -> Session:
    if options.resume is not None:
        return resume(options, who)
    experiment = experiment_of(options)
    return start(options, select(experiment, options.only), experiment.text, who)


def _train_session(session: Session, who: Identity, world: World, requests: Requests) -> int:
    manifest = session.manifest
    console = Console(manifest.training.steps, manifest.training.log_every, quiet=not world.leads)
    with contextlib.ExitStack() as stack:
        if session.lock is not None:
            stack.enter_context(session.lock)
        journal = stack.enter_context(contextlib.closing(_journal(session, who, world)))
        sinks = stack.enter_context(contextlib.ExitStack())
        ending = stack.enter_context(Ending(session.run, journal, world.rank, console))
        with console:
            outcome = _run(session, who, world, requests, journal, console, sinks)
        if world.leads:
            conclude(session, outcome, journal, console)
    return ending.code


def _journal(session: Session, who: Identity, world: World) -> Journal:
    if not world.leads:
        return RankJournal(session.run, world.rank)
    supervised = who.run_directory is not None
    return LeadJournal(session.run, session.attempt, session.manifest.training.steps, supervised=supervised)


def _run(
    session: Session, who: Identity, world: World, requests: Requests, journal: Journal, console: Console,
    sinks: contextlib.ExitStack,
) -> Outcome:  # fmt: skip
    with contextlib.ExitStack() as opened:
        built = build_run(session, who, world, journal, opened)
        report = paths(session, built)
        record = describe(session, built, report, world, console)
        conditions = opening(session.manifest, built, capabilities(built.device), report)
        loop = assemble(session, built, record, world, requests, journal, console, opened, sinks)
        journal.running()
        outcome = loop.run()
    if conditions is not None and world.leads:
        closing(session.run, conditions, outcome.completed)
    return outcome


def train_each(experiment: Experiment, options: TrainOptions, who: Identity, requests: Requests) -> int:
    """All runs of a manifest one after the other, each in its own process, so that none inherits another's state."""
    names = [run.manifest.name for run in experiment.runs]
    if who.size > 1:
        raise UsageError(
            f"the manifest describes {len(names)} runs, and this process is one of {who.size} ranks",
            why="several runs start one after the other, and each needs its own ranks",
            fix="name one run with --only",
            example=f"--only {names[0]}",
        )
    if who.run_directory is not None:
        raise UsageError(
            f"the manifest describes {len(names)} runs, and this process was given one run directory",
            why="several runs would write over each other there",
            fix="name one run with --only",
            example=f"--only {names[0]}",
        )
    for name in names:
        code = _child([sys.executable, str(Path(sys.argv[0]).resolve()), *sys.argv[1:], "--only", name], requests)
        if code != 0 or requests.stop is not None:
            return code if code >= 0 else 128 - code
    return 0


def _child(command: list[str], requests: Requests) -> int:
    """Run one training command to its end; a request to stop that reaches this process is passed on once."""
    child = subprocess.Popen(command)
    told = False
    while True:
        try:
            return child.wait(timeout=_CHILD_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if requests.stop is not None and not told:
                told = True
                child.terminate()
