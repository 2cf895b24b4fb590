"""Everything a run needs before its trainer starts: devices, lock, directory, records, log. All of it or nothing."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Any, NamedTuple

from fleet.remote.atomic import read_json, write_json
from fleet.remote.cgroups import RunGroup
from fleet.remote.daemon import log_to
from fleet.remote.identity import identity_of
from fleet.remote.launch import Launch
from fleet.remote.locks import Held, SupervisorLock
from fleet.remote.logs import Log
from fleet.remote.lost import settle
from fleet.remote.member import Member
from fleet.remote.pinning import Pinned
from fleet.remote.places import DeployDir, RunFiles
from fleet.remote.processes import Snapshot, environment
from fleet.remote.redact import Redactor
from fleet.remote.refusal import Refusal
from fleet.remote.reporter import Reporter
from fleet.remote.reservations import Reservation, Reserved, names_of
from fleet.remote.states import StateFile, culprit_field, exit_field, read_state, start_field
from fleet.remote.subreaper import become_subreaper
from fleet.remote.supervisor import Supervisor
from fleet.remote.sweep import sweep
from fleet.remote.watch import Given, say


class Order(NamedTuple):
    """A launch with all that was looked up for it."""

    launch: Launch
    home: DeployDir
    files: RunFiles
    pinned: Pinned
    secrets: dict[str, str]
    digest: str
    """Of the request, by which a repeated one is known."""


class Exists(Exception):
    """The run is there already: the same request came before."""


def is_there(launch: Launch, files: RunFiles, digest: str, *, held: bool) -> bool:
    """Whether a request was carried out before. Raises Refusal of kind busy when another one keeps the run alive.

    A start is known by its run id. A resume is known by its whole request, the number of its attempt included.
    """
    state = read_state(files.state)
    if not launch.resume:
        return held or state is not None
    same = (read_json(files.launch) or {}).get("request_digest") == digest
    if held and not same:
        raise _busy(
            f"run {launch.run} is live",
            why="two supervisors of one run would start two trainers",
            fix="stop it first, or follow it",
            example=f"fleet stop lab-a --run {launch.run}",
        )
    return held or (same and state is not None and state["attempt"] >= launch.attempt)


def prepared(order: Order, reporter: Reporter) -> tuple[Given, SupervisorLock]:
    """Get everything. Raises Exists, Refusal or OSError; then nothing is held, and no directory was made for a run
    whose devices somebody else has."""
    launch, files = order.launch, order.files
    try:
        reservation = Reservation.take(names_of(launch, order.home), launch.run)
    except Reserved as reserved:
        if reserved.holder == launch.run:
            raise Exists from None
        raise _busy(
            f"{_called(reserved.name, launch)} is held by {reserved.holder or 'a run that did not say its id'}",
            why="two runs on one device would share its memory and slow each other down",
            fix="wait for it to end, stop it, or choose other devices",
            example="fleet status lab-a",
        ) from None
    _refuse_leftovers(order)
    files.create()
    log_to(files.file("supervisor.log"))
    try:
        lock = SupervisorLock.take(files.supervisor_lock, attempt=launch.attempt)
    except Held:
        raise Exists from None
    if is_there(launch, files, order.digest, held=False):
        raise Exists
    return _given(order, reservation, reporter), lock


def supervise(ready: tuple[Given, SupervisorLock]) -> None:
    """Live the run's life, then free its lock."""
    given, lock = ready
    Supervisor(given).run()
    lock.close()


def _given(order: Order, reservation: Reservation, reporter: Reporter) -> Given:
    """With the lock held: end what an earlier attempt left, then write down what this one is."""
    launch, files = order.launch, order.files
    before = _before(order) if launch.resume else {}
    problem = become_subreaper()
    if problem is not None:
        say(f"orphans cannot be adopted ({problem}); what leaves its parent is found by its environment alone")
    control_group = RunGroup.create(files.path)
    attempt = max(launch.attempt, before.get("attempt", 0) + 1)
    _write_records(order, control_group)
    state = StateFile(
        files.state,
        {
            "run": launch.run,
            "attempt": attempt,
            "supervisor": start_field(identity_of(os.getpid())),
            "node_rank": launch.node_rank,
            "node_count": launch.node_count,
            "gpus": [gpu.uuid for gpu in launch.gpus],
            "release": os.path.basename(order.pinned.release),
            "environment": launch.environment,
            "last_step": before.get("last_step"),
            "last_verified_checkpoint": before.get("last_verified_checkpoint"),
        },
    )
    state.enter("starting")
    if state.problem is not None:
        raise state.problem
    log = Log(
        files.log,
        Redactor(list(order.secrets.values())),
        node=launch.node_rank,
        launched=launch.launched,
        first_rank=launch.node_rank * launch.nproc,
    )
    say(f"run {launch.run}, attempt {attempt}, process {os.getpid()}")
    return Given(
        launch,
        order.pinned,
        files,
        state,
        log,
        reservation,
        reporter,
        order.secrets,
        control_group=control_group,
        group=None if launch.group is None else _membership(launch, state, control_group),
    )


def _membership(launch: Launch, state: StateFile, control_group: RunGroup | None) -> Member:
    """Join the group of the run. Raises Refusal if this is the lead and its port is taken."""
    try:
        return Member(launch)
    except OSError as error:
        assert launch.group is not None
        if control_group is not None:
            control_group.remove()
        culprit = culprit_field(0, node=launch.node_rank, exception="LeadPort", message=str(error))
        state.enter("failed", exit=exit_field(kind="LeadPort", culprit=culprit))
        raise _busy(
            f"port {launch.group.lead_port} of {launch.group.nodes[0].address} cannot be used: {error.strerror}",
            why="the supervisors of a group meet at it",
            fix="free it, or name another lead_port in fleet.json",
            example='"lead_port": 29601',
        ) from error


def _before(order: Order) -> dict[str, Any]:
    """The state that a resumed run was left in, after ending what is left of it."""
    files = order.files
    earlier = RunGroup.at((read_json(files.launch) or {}).get("control_group"), files.path)
    killed, survivors = sweep(order.launch.run, supervisor=None, group=earlier, folder=files.path)
    if survivors:
        raise _busy(
            f"process {survivors[0].pid} of run {order.launch.run} cannot be ended",
            why="it survived repeated kills; the kernel keeps it, often in a device driver",
            fix="restart the host",
            example="fleet ps lab-a",
        )
    if killed:
        say(f"killed {killed} processes that an earlier supervisor had left")
    return settle(files) or {}


def _write_records(order: Order, control_group: RunGroup | None) -> None:
    launch, files = order.launch, order.files
    told = asdict(launch)
    del told["record"]
    if launch.group is not None:
        del told["group"]["token"]
    told.update(
        schema=1,
        request_digest=order.digest,
        created=(read_json(files.launch) or {}).get("created", time.time()),
        release_path=order.pinned.release,
        environment_path=order.pinned.environment,
        python_path=order.pinned.python,
        control_group=None if control_group is None else control_group.path,
    )
    write_json(files.launch, told, mode=0o600)
    if launch.record or not os.path.exists(files.record):
        record = {"run": launch.run, "name": launch.name, "argv": list(launch.argv), **launch.record}
        write_json(files.record, {**record, "source": _source(order.pinned.release)})


def _source(release: str) -> dict[str, Any]:
    """Which commit the code of a release is, and the digest of what differs from it."""
    known = read_json(os.path.join(release, ".fleet", "release.json")) or {}
    return {name: known.get(name) for name in ("digest", "commit", "dirty", "patch", "untracked")}


def _refuse_leftovers(order: Order) -> None:
    """What a lost run left on these devices would share them: refuse, naming it. The run's own is ended later."""
    devices = {gpu.uuid for gpu in order.launch.gpus}
    runs = os.path.join(order.home.path, "runs") + os.sep
    snapshot = Snapshot()
    for run in sorted(snapshot.runs() - {order.launch.run}):
        for process in snapshot.of_run(run):
            variables = environment(process.pid)
            used = set(filter(None, variables.get("CUDA_VISIBLE_DEVICES", "").split(",")))
            ours = variables.get("FLEET_RUN_DIR", "").startswith(runs) and not used
            if devices & used or (not devices and ours):
                raise _busy(
                    f"process {process.pid} of run {run} is left on {', '.join(sorted(devices & used)) or 'the host'}",
                    why="its supervisor has died, and nobody would share the device with what it left knowingly",
                    fix="stop that run: this ends what is left of it",
                    example=f"fleet stop lab-a --run {run}",
                )


def _called(name: str, launch: Launch) -> str:
    """What people call a reserved name."""
    kind, _, rest = name.partition("/")[2].partition("/")
    if kind == "gpu":
        return f"GPU {rest}"
    return f"the run name {launch.name}" if kind == "name" else "the processor, for runs of this deploy_dir,"


def _busy(what: str, *, why: str, fix: str, example: str) -> Refusal:
    return Refusal("busy", what, why=why, fix=fix, example=example)
