"""Deploying, rolling back and pruning, on several hosts at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fleet.control.report import Report
from fleet.control.session import Session
from fleet.errors import Usage
from fleet.inventory import Instance
from fleet.release import SILENCE, Deployed, Limits, Tree, deploy, scan
from fleet.ssh import Deadline

if TYPE_CHECKING:
    from fleet.release import PlanStep

MIB: Final = 1 << 20
#: Bytes a second below which a link is not worth waiting for. The limit of a deploy is four times this estimate, 30 s,
#: and the wait for an upload of our own that was cut.
_SLOW: Final = 1 << 20
#: Seconds to wait for the lock of a host: of an upload of this process that was cut, for which the host waits as long
#: as it takes it to notice, and of anybody else's.
_OWN: Final = SILENCE + 10.0
_OTHERS: Final = 1.0
#: Seconds to ask one host what a deploy would do.
PLAN: Final = 120.0


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """What the user said about a deploy."""

    ref: str | None = None
    """A commit; the work tree if absent."""
    switch: bool = True
    """Whether the release becomes the current one."""
    max_size: int | None = None
    """Bytes; absent: what fleet.json allows."""


class TreeOnce:
    """The project's tree, scanned once however many hosts it goes to, while their connections are being opened."""

    #: Hosts for which a deploy of it was begun.
    begun: set[str]

    def __init__(self, session: Session, options: DeployOptions) -> None:
        self._session, self._options = session, options
        self._guard = threading.Lock()
        self._tree: Tree | None = None
        self.begun = set()

    def get(self) -> Tree:
        """The tree. Raises what scanning raises."""
        with self._guard:
            if self._tree is None:
                session = self._session
                limits = [instance.limits.max_upload_mib for instance in session.inventory.instances.values()]
                self._tree = scan(
                    session.root,
                    ref=self._options.ref,
                    cache=session.workspace.cache_folder,
                    max_size=self._options.max_size or max(limits) * MIB,
                    never=session.secret_files(),
                )
            return self._tree


def deploy_all(
    session: Session,
    names: Sequence[str],
    options: DeployOptions,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Report[Deployed]:
    """Send the project to hosts and make it current. A failure on one does not stop the others."""
    session.connect(names)
    tree = TreeOnce(session, options)
    tree.get()
    report = session.each(
        names,
        lambda name, deadline: deploy_tree(
            session, name, tree, options, deadline, on_progress, _note(session, name, names, tree, options)
        ),
        _limit(tree),
        repeat=True,
    )
    warnings = [*tree.get().warnings]
    warnings += [
        f"{name}: {text}" for name, row in report.rows.items() for text in row.warnings if text not in warnings
    ]
    return Report(report.rows, report.errors, (*warnings, *_record(session, names, tree, options, report)))


def deploy_tree(
    session: Session,
    name: str,
    tree: TreeOnce,
    options: DeployOptions,
    deadline: Deadline,
    on_progress: Callable[[str, int, int], None] | None = None,
    note: bytes = b"",
) -> Deployed:
    """Deploy one tree to one host; `note` is a line for its audit log."""
    instance = session.instance(name)
    _check_size(name, tree.get(), instance, options)
    # Begun before, so its connection was lost, and the host may not have noticed yet.
    patience = _OWN if name in tree.begun else _OTHERS
    tree.begun.add(name)
    return deploy(
        session.transport(name, deadline),
        tree.get(),
        instance.deploy_dir,
        switch=options.switch,
        limits=Limits(keep_releases=instance.limits.keep_releases),
        deadline=deadline,
        on_progress=None if on_progress is None else lambda sent, total: on_progress(name, sent, total),
        python=session.python(name),
        patience=patience,
        note=note,
    )


def plan_all(session: Session, names: Sequence[str], options: DeployOptions) -> Report[tuple[PlanStep, ...]]:
    """What a deploy would do, step by step; nothing is changed on either side."""
    session.connect(names)
    tree = TreeOnce(session, options)
    tree.get()

    return session.each(
        names,
        lambda name, deadline: plan_tree(
            session, name, tree, options, deadline, _note(session, name, names, tree, options)
        ),
        PLAN,
        repeat=True,
    )


def plan_tree(
    session: Session, name: str, tree: TreeOnce, options: DeployOptions, deadline: Deadline, note: bytes = b""
) -> tuple[PlanStep, ...]:
    """The steps for one host."""
    from fleet.release import plan_deploy

    _check_size(name, tree.get(), session.instance(name), options)
    return plan_deploy(
        session.transport(name, deadline),
        tree.get(),
        session.instance(name).deploy_dir,
        switch=options.switch,
        deadline=deadline,
        python=session.python(name),
        note=note,
    )


def _check_size(name: str, tree: Tree, instance: Instance, options: DeployOptions) -> None:
    """The tree was scanned with the widest limit of all hosts; this one's may be narrower."""
    limit = instance.limits.max_upload_mib * MIB
    if options.max_size is None and tree.size > limit:
        raise Usage(
            f"the tree has {tree.size / MIB:.0f} MiB, and {name} takes {instance.limits.max_upload_mib}",
            why="limits.max_upload_mib of this instance says so",
            fix="list what does not belong to the code in .fleetignore, or raise the limit",
            example=f"fleet deploy {name} --max-size 2000",
            host=name,
        )


def _limit(tree: TreeOnce) -> float:
    return 30.0 + _OWN + 4.0 * tree.get().size / _SLOW


def _plan(tree: TreeOnce, options: DeployOptions) -> dict[str, object]:
    return {"release": tree.get().digest, "switch": options.switch}


def _note(session: Session, name: str, names: Sequence[str], tree: TreeOnce, options: DeployOptions) -> bytes:
    """What the host's own audit log says when it has the release: one more command would be two more round trips."""
    return session.note("deploy", names, f"{name} has {tree.get().release}", _plan(tree, options))


def _record(
    session: Session, names: Sequence[str], tree: TreeOnce, options: DeployOptions, report: Report[Deployed]
) -> tuple[str, ...]:
    words = [f"{name} {row.action} {row.release}" for name, row in report.rows.items()]
    words += [f"{error.host} failed: {error.what}" for error in report.errors]
    return session.record("deploy", names, "; ".join(words), plan=_plan(tree, options))
