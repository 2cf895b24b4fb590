"""Setting a host up: the environment that a release needs, found ready in one round trip or built."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet.environment.interpreter import Wish
from fleet.environment.plan import Build, PinnedUv, plan
from fleet.environment.ready import Ready
from fleet.errors import Usage
from fleet.ssh import Deadline, Transport

if TYPE_CHECKING:
    from fleet.environment.build import Sent


def _silent(line: str) -> None:
    """Progress that nobody wants to see."""


def setup(
    transport: Transport,
    deploy_dir: str,
    release: str,
    *,
    python: str = "auto",
    mode: Wish = "auto",
    uv: PinnedUv | None = None,
    offline: bool = False,
    recreate: bool = False,
    extras: Sequence[str] = (),
    wheels: Path | None = None,
    deadline: Deadline,
    on_progress: Callable[[str], None] = _silent,
) -> Ready:
    """Make sure that the environment of a release is on the host, and say what it is.

    Repeating it is free: a ready environment costs one round trip. `wheels` is the folder on this side that keeps
    gathered wheels, needed with `offline`. `on_progress` gets the choice, its reason and the installer's lines.

    Raises NotFound (no such release), Blocked (no interpreter fits, nothing is pinned), Usage (a file does not pin what
    it should), Busy (it is being built, or a live run uses what would be replaced), RemoteFailed (an installer
    failed; with its words and the place of its log), Unverified (torch was changed; the environment is gone again).
    """
    start = time.monotonic()
    if offline and wheels is None:
        raise Usage(
            "an offline set-up has no folder for wheels",
            why="they are gathered on this side first and kept for the next host",
            fix="name a folder",
            example="setup(..., offline=True, wheels=Path('.fleet/cache/wheels'))",
        )
    planned = plan(
        transport,
        deploy_dir,
        release,
        python=python,
        mode=mode,
        uv=uv,
        offline=offline,
        recreate=recreate,
        extras=extras,
        deadline=deadline,
    )
    for line in planned.steps():
        on_progress(line)
    if planned.build is None:
        assert planned.ready is not None
        return planned.ready
    # What builds is loaded only when something is built: mostly everything is ready.
    from fleet.environment.build import request, run_builder

    sent = _send(transport, deploy_dir, planned.build, uv, wheels if offline else None, deadline, on_progress)
    asked = request(planned.build, release, extras, sent, recreate, deadline.remaining())
    record = run_builder(transport, planned.build, asked, deadline, on_progress)
    return Ready.of(record, record["action"], time.monotonic() - start)


def _send(
    transport: Transport,
    deploy_dir: str,
    build: Build,
    uv: PinnedUv | None,
    cache: Path | None,
    deadline: Deadline,
    tell: Callable[[str], None],
) -> Sent:
    """Bring what the build needs to the host. Wheels are gathered first: if one is missing, nothing is sent."""
    from fleet.environment.build import Sent
    from fleet.environment.upload import digest, send_agent, send_file
    from fleet.environment.wheelhouse import gather, send_wheels
    from fleet.remote.env_install import bundled_pip

    one = build.choice.interpreter
    wheels = None if cache is None else gather(transport.name, build, cache, deadline)
    if not build.survey.agent:
        send_agent(transport, deploy_dir, one.path, deadline)
    if build.uv is not None and build.uv != build.survey.uv:
        assert uv is not None
        tell(f"sending {uv.path.name} to {build.uv}")
        send_file(transport, one.path, uv.path, build.uv, uv.sha256, "700", deadline)
    pip = None
    if build.mode != "uv" and not one.pip:
        local = bundled_pip()
        assert local is not None
        sha256, _ = digest(Path(local))
        pip = f"{build.survey.root}/wheels/sha256/{sha256}"
        tell(f"sending {Path(local).name}: the host has no pip")
        send_file(transport, one.path, Path(local), pip, sha256, "400", deadline)
    if wheels is not None and cache is not None:
        send_wheels(transport, build, cache, wheels, deadline, tell)
    return Sent(pip, wheels)
