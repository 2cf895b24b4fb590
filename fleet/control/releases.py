"""Releases that hosts have: listing them, going back, and removing old ones."""

from __future__ import annotations

from collections.abc import Sequence

from fleet.control.report import Report
from fleet.control.session import Session
from fleet.errors import NotFound
from fleet.release import Pruned, ReleaseInfo, RolledBack, prune, releases, rollback
from fleet.ssh import Deadline

#: Seconds to verify and switch, or to list.
_LIMIT = 300.0


def releases_of(session: Session, names: Sequence[str]) -> Report[list[ReleaseInfo]]:
    """The releases of hosts, newest first."""
    return session.each(names, lambda name, deadline: _listed(session, name, deadline), _LIMIT, repeat=True)


def roll_back(session: Session, names: Sequence[str], to: str | None) -> Report[RolledBack]:
    """Make a release current again: `to`, or each host's previous one."""

    def on_host(name: str, deadline: Deadline) -> RolledBack:
        transport = session.transport(name, deadline)
        return rollback(
            transport, session.instance(name).deploy_dir, to=to, deadline=deadline, python=session.python(name)
        )

    # Without a name, doing it again would go back to where it came from.
    report = session.each(names, on_host, _LIMIT, repeat=to is not None)
    words = [f"{name} {row.release}" for name, row in report.rows.items()]
    words += [f"{error.host} failed: {error.what}" for error in report.errors]
    warnings = session.record("rollback", names, "; ".join(words), on_hosts=list(report.rows), plan={"to": to})
    return Report(report.rows, report.errors, warnings)


def plan_rollbacks(session: Session, names: Sequence[str], to: str | None) -> Report[str]:
    """The release that each host would go back to; nothing is changed."""

    def on_host(name: str, deadline: Deadline) -> str:
        for row in _listed(session, name, deadline):
            if row.previous if to is None else row.release.startswith(to):
                return row.release
        raise NotFound(
            f"{name} has no {'previous release' if to is None else f'release {to}'}",
            why="only what is there can become current",
            fix="choose one that is there",
            example=f"fleet rollback {name} --list",
            host=name,
        )

    return session.each(names, on_host, _LIMIT, repeat=True)


def prune_plan(session: Session, names: Sequence[str], keep: int | None) -> Report[Pruned]:
    """What could be removed from hosts."""
    return session.each(names, lambda name, deadline: _prune(session, name, keep, None, deadline), _LIMIT, repeat=True)


def prune_listed(session: Session, listed: Report[Pruned], keep: int | None) -> Report[Pruned]:
    """Remove what was listed and is still not needed."""
    names = [name for name, row in listed.rows.items() if row.items]
    report = session.each(
        names, lambda name, deadline: _prune(session, name, keep, listed.rows[name], deadline), _LIMIT
    )
    words = [f"{name} {len(row.items)} removed" for name, row in report.rows.items()]
    words += [f"{error.host} failed: {error.what}" for error in report.errors]
    plan = {name: [f"{item.kind} {item.name}" for item in listed.rows[name].items] for name in names}
    warnings = session.record("prune", names, "; ".join(words), on_hosts=list(report.rows), plan=plan)
    return Report(report.rows, (*listed.errors, *report.errors), warnings)


def _listed(session: Session, name: str, deadline: Deadline) -> list[ReleaseInfo]:
    return releases(
        session.transport(name, deadline),
        session.instance(name).deploy_dir,
        deadline=deadline,
        python=session.python(name),
    )


def _prune(session: Session, name: str, keep: int | None, chosen: Pruned | None, deadline: Deadline) -> Pruned:
    instance = session.instance(name)
    return prune(
        session.transport(name, deadline),
        instance.deploy_dir,
        keep=instance.limits.keep_releases if keep is None else keep,
        remove=None if chosen is None else chosen.items,
        deadline=deadline,
        python=session.python(name),
    )
