"""Environments on hosts, as fleet.json asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

from fleet.control.report import Report
from fleet.control.session import Session
from fleet.environment import PinnedUv, Ready, plan, setup
from fleet.errors import NotFound
from fleet.inventory import Instance
from fleet.release import releases
from fleet.ssh import Deadline

#: Seconds for an installation.
LIMIT: Final = 2 * 3600.0
_PLAN: Final = 120.0


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """What the user said about a set-up."""

    python: str | None = None
    """Interpreter to build on; absent: what fleet.json says."""
    mode: Literal["auto", "reuse", "isolated"] = "auto"
    offline: bool = False
    recreate: bool = False


def setup_all(
    session: Session, names: Sequence[str], options: SetupOptions, on_progress: Callable[[str], None]
) -> Report[Ready]:
    """Make the environment of each host's current release."""
    session.connect(names)
    report = session.each(
        names,
        lambda name, deadline: setup_on(session, name, None, deadline, on_progress, options),
        LIMIT,
        # A set-up that begins again finds what is ready, but one that builds anew would do it twice.
        repeat=not options.recreate,
    )
    words = [f"{name} {row.action} {row.environment}" for name, row in report.rows.items()]
    words += [f"{error.host} failed: {error.what}" for error in report.errors]
    built = [name for name, row in report.rows.items() if row.action != "ready"]
    warnings = session.record("setup", names, "; ".join(words), on_hosts=built, plan=asdict(options))
    return Report(report.rows, report.errors, warnings)


def plan_setups(session: Session, names: Sequence[str], options: SetupOptions) -> Report[tuple[str, ...]]:
    """What a set-up would do on each host, in words; nothing is changed."""

    def on_host(name: str, deadline: Deadline) -> tuple[str, ...]:
        return plan_setup(session, name, current_release(session, name, deadline), deadline, options)

    return session.each(names, on_host, _PLAN, repeat=True)


def plan_setup(
    session: Session, name: str, release: str, deadline: Deadline, options: SetupOptions | None = None
) -> tuple[str, ...]:
    """What a set-up for a release would do on one host."""
    options = options or SetupOptions()
    instance = session.instance(name)
    return plan(
        session.transport(name, deadline),
        instance.deploy_dir,
        release,
        python=options.python or instance.python,
        mode=options.mode,
        uv=_uv(session, instance),
        offline=options.offline,
        recreate=options.recreate,
        deadline=deadline,
    ).steps()


def setup_on(
    session: Session,
    name: str,
    release: str | None,
    deadline: Deadline,
    on_progress: Callable[[str], None],
    options: SetupOptions | None = None,
) -> Ready:
    """Make the environment that a release needs on one host; without a release, the current one's."""
    options = options or SetupOptions()
    instance = session.instance(name)
    return setup(
        session.transport(name, deadline),
        instance.deploy_dir,
        release or current_release(session, name, deadline),
        python=options.python or instance.python,
        mode=options.mode,
        uv=_uv(session, instance),
        offline=options.offline,
        recreate=options.recreate,
        wheels=session.workspace.cache_folder / "wheels",
        deadline=deadline,
        on_progress=lambda line: on_progress(f"{name}: {line}"),
    )


def _uv(session: Session, instance: Instance) -> PinnedUv | None:
    return None if instance.uv is None else PinnedUv(session.inventory.file(instance.uv.path), instance.uv.sha256)


def current_release(session: Session, name: str, deadline: Deadline) -> str:
    """The release that `current` points to. Raises NotFound."""
    rows = releases(
        session.transport(name, deadline),
        session.instance(name).deploy_dir,
        deadline=deadline,
        python=session.python(name),
    )
    for row in rows:
        if row.current:
            return row.release
    raise NotFound(
        f"{name} has no current release",
        why="an environment is made for what a release needs",
        fix="deploy first",
        example=f"fleet deploy {name}",
        host=name,
    )
