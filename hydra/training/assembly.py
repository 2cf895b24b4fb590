"""Putting the loop together from what was built, and telling the user what is about to run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hydra import kernels
from hydra.data import Loader
from hydra.kernels import adamw
from hydra.manifest import Manifest
from hydra.model import accounting
from hydra.platform import capabilities, peak_flops
from hydra.runs import ControlPoller, write_json
from hydra.training import guards
from hydra.training.building import Built
from hydra.training.console import Console
from hydra.training.description import full_record, write_record
from hydra.training.evaluation import Evaluator
from hydra.training.journal import Journal
from hydra.training.loop import Loop, Parts
from hydra.training.readback import Readback
from hydra.training.requests import Inbox
from hydra.training.saving import Saver
from hydra.training.session import Session
from hydra.training.signals import Requests
from hydra.training.sinks import SinkThread, sinks
from hydra.training.step import Step
from hydra.training.telemetry import Settled, Telemetry
from hydra.training.throughput import Throughput
from hydra.training.world import World

log = logging.getLogger("hydra.training")


def describe(session: Session, built: Built, report: kernels.Report, world: World, console: Console) -> dict[str, Any]:
    """Write and print what will run: manifest with origins, paths of all ops, sizes; returns the record."""
    optimizers = [asdict(row) for row in built.state.optimizers.table()]
    record = full_record(session, built.environment, built.settled, built.dataset, world, optimizers)
    if world.leads:
        write_json(session.run.capabilities, report.record())
        write_record(session, record)
        built.dataset.tokenizer.save(session.run.tokenizer)
        for line in (*report.text().splitlines(), *introduction(record, session, built)):
            console.say(line)
    return record


def paths(session: Session, built: Built) -> kernels.Report:
    """Which implementation of every op runs, each checked against its reference on this device."""
    machine = capabilities(built.device)
    return kernels.report(
        built.model,
        machine,
        ledger=kernels.Ledger(machine, Path(session.manifest.kernels.ledger)),
        compiled=built.settled.compile == "blocks",
        accept=session.manifest.kernels.accept,
        others=(adamw.use(),),
    )


def introduction(record: dict[str, Any], session: Session, built: Built) -> list[str]:
    """A few lines about the run: size, data, batch, place."""
    layout, counts = record["layout"], record["parameters"]
    batch, sequence = session.manifest.training.batch, session.manifest.data.sequence
    sources = record["data"]["summary"]["sources"].values()
    documents, tokens, held_out = (
        sum(source[split][name] for source in sources)
        for split, name in (("training", "documents"), ("training", "tokens"), ("held_out", "tokens"))
    )
    begins = f"resumes at step {built.state.step}" if session.resumed else "starts"
    return [
        f"model   {counts['total']:,} parameters ({counts['matmul']:,} in matrix products), "
        f"vocabulary {built.dataset.vocabulary}, {built.settled.compute} on {built.settled.device}, "
        f"{built.settled.determinism}",
        f"data    {documents:,} documents, {tokens:,} tokens to train on, {held_out:,} held out",
        f"batch   {batch} rows x {sequence} tokens = {layout['world_size']} ranks x {layout['accumulation']} "
        f"micro-batches x {layout['micro_batch']} rows",
        f"run     {session.run.id} {begins} (attempt {session.attempt}), in {session.run.path}",
    ]


def assemble(
    session: Session, built: Built, record: dict[str, Any], world: World, requests: Requests, journal: Journal,
    console: Console, opened: contextlib.ExitStack, sinks: contextlib.ExitStack,
) -> Loop:  # fmt: skip
    """The loop and everything around it; what must be closed, however the run ends, goes into `opened`.

    The services that take metrics go into `sinks`: they may be slow to finish, and the final record waits for none.
    """
    manifest = session.manifest
    loader = Loader(
        built.dataset,
        batch=manifest.training.batch,
        micro_batch=record["layout"]["micro_batch"],
        rank=world.rank,
        world=world.size,
        first_step=built.state.step,
        prefetch=manifest.data.prefetch,
        pinned=built.device.type == "cuda",
    )
    opened.enter_context(loader)
    facts = {name: record[name] for name in ("run", "attempt", "experiment_hash", "layout", "parameters")}
    facts |= {"data_fingerprint": record["data"]["fingerprint"], "tokenizer": record["tokenizer"]["digest"]}
    saver = Saver(built.store, built.state, journal, console, facts, session.run.tokenizer)
    telemetry = sinks.enter_context(contextlib.closing(_telemetry(session, built, world, record, journal, console)))
    poller = ControlPoller(session.run) if session.lock is not None else None
    parts = Parts(
        manifest=manifest,
        state=built.state,
        step=Step(built.layout, built.state, manifest, world),
        batches=iter(loader),
        readback=Readback(built.device),
        telemetry=telemetry,
        evaluator=Evaluator(built.model, built.dataset, manifest, world),
        saver=saver,
        inbox=Inbox(requests, poller, journal, world),
        journal=journal,
        console=console,
        on_skip=_evidence_keeper(session, built, journal, world),
        base_lr=built.state.optimizers.table()[0].lr,
        compiles=built.settled.compile == "blocks",
        device=built.device,
    )
    return Loop(parts)


def _telemetry(
    session: Session, built: Built, world: World, record: dict[str, Any], journal: Journal, console: Console
) -> Telemetry:
    manifest = session.manifest
    flops = accounting.flops_per_token(manifest.model, built.dataset.vocabulary, manifest.data.sequence)
    peak = peak_flops(capabilities(built.device).name) if built.device.type == "cuda" else None

    def on_failure(name: str, reason: str) -> None:
        log.warning("%s failed: %s", name, reason)
        console.say(f"{name} failed: {reason}; the run goes on without it")

    wanted = sinks(session.run, manifest, record) if world.leads else ()
    threads = [SinkThread(sink, on_failure) for sink in wanted]
    return Telemetry(manifest, Throughput(flops, peak, world.size), journal, console, threads)


def batch_samples(manifest: Manifest, step: int) -> np.ndarray:
    """Global sample indices of the batch, over all ranks, that the step completed as number `step` trained on."""
    batch = manifest.training.batch
    return np.arange((step - 1) * batch, step * batch, dtype=np.int64)


def _evidence_keeper(session: Session, built: Built, journal: Journal, world: World) -> Callable[[Settled], None]:
    def keep(settled: Settled) -> None:
        """Record a skipped step, and stop the run when there were too many."""
        step = settled.context.step
        indices = batch_samples(session.manifest, step)
        facts = {"loss": settled.loss, "grad_norm": settled.grad_norm}
        if world.leads:
            guards.evidence(session.run, built.dataset, step, indices, facts)
        samples = {"first_sample": int(indices[0]), "last_sample": int(indices[-1])}
        journal.event("guard.nonfinite", level="warning", step=step, data=facts | samples)
        guards.check_budget(built.state.nonfinite, session.manifest, step, indices, session.run)

    return keep
