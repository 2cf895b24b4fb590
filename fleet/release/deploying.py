"""Bring a tree to a host and make it current: nothing if it is there, a switch if it is present, else an upload."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fleet.errors import Busy
from fleet.release.base import Base, nearest
from fleet.release.inspection import Inspection, inspect
from fleet.release.outcome import NO_BASE, UNVERIFIED, fields, refusal, release_or_none, words
from fleet.release.script import activate_command
from fleet.release.steps import Action, check_room, prepared, receiving, task
from fleet.release.store import ManifestStore
from fleet.release.tree import Tree
from fleet.release.upload import Progress, Upload
from fleet.ssh import Deadline, Result, Transport


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a host keeps."""

    keep_releases: int = 5


_LIMITS: Final = Limits()
#: Seconds before a host is asked again whose lock is held.
_AGAIN: Final = 0.5


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deploy did on one host."""

    release: str
    previous: str | None
    """The release that was current when the deploy began, so for `noop` often the same; None if there was none."""
    action: Action
    bytes_sent: int
    files_sent: int
    files_reused: int
    """Files that the host had already."""
    seconds: float
    pinned_by: tuple[str, ...]
    """Live runs. They stay on the release that they were started from."""
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Deploy:
    """One deploy to one host, while it lasts."""

    transport: Transport
    tree: Tree
    deploy_dir: str
    switch: bool
    deadline: Deadline
    progress: Progress | None
    python: str
    note: bytes
    warnings: list[str] = field(default_factory=list)

    def upload(self, host: Inspection) -> tuple[Upload, str | None, int]:
        """Send the tree; returns the upload, the release before, and the number of files reused."""
        store = ManifestStore(self.tree.cache)
        base = nearest(self.transport, host, self.tree, store, self.deadline)
        upload, result = self._send(host, base)
        if base is not None and upload.failed is None and result.rc in (NO_BASE, UNVERIFIED):
            self.warnings.append(f"release {base.release} was of no use as a base, so all was sent: {words(result)}")
            base = None
            upload, result = self._send(host, None)
        if upload.failed is not None:
            raise upload.failed
        if not result.ok:
            raise refusal(result, self.transport.name, self.deploy_dir, f"release {self.tree.release} did not arrive")
        store.put(self.tree.manifest)
        self.check_note(result)
        return upload, before(result, host), 0 if base is None else base.changes.reused

    def _send(self, host: Inspection, base: Base | None) -> tuple[Upload, Result]:
        upload = prepared(self.tree, base, self.progress, self.note)
        check_room(self.transport.name, host, upload)
        command = receiving(self.tree, host, upload, base, self.deploy_dir, self.switch, self.deadline, self.python)
        return upload, self.transport.stream_in(command, upload.chunks(), deadline=self.deadline)

    def check_note(self, result: Result) -> None:
        """Warn if the host could not keep the note: what was done is done, and has to be told."""
        if ("unnoted", "") in fields(result):
            self.warnings.append("its audit log cannot be written")

    def activate(self) -> Result:
        """Verify what is there and, unless it shall stay as it is, make it current."""
        command = activate_command(self.deploy_dir, self.tree.release, self.tree.digest, self.switch, self.python)
        return self.transport.exec(command, stdin=self.note, deadline=self.deadline)


def deploy(
    transport: Transport,
    tree: Tree | Callable[[], Tree],
    deploy_dir: str,
    *,
    switch: bool = True,
    limits: Limits = _LIMITS,
    deadline: Deadline,
    on_progress: Progress | None = None,
    python: str = "python3",
    patience: float = 1.0,
    note: bytes = b"",
) -> Deployed:
    """Make `tree` the current release of a host; with `switch=False` only put it there.

    A tree that is current already costs one round trip. It may be given as a function, which is called after the host
    was asked: then the tree can be looked at meanwhile, in another thread. `on_progress` is told bytes sent and bytes
    in all. `python` replaces tools that the host lacks. `patience` is how many seconds to wait for another deploy: what
    is left of an upload that was cut holds the lock until the host has noticed. `note` is a line that the host adds to
    its audit log when it has done something. Raises Busy, Unverified, Blocked (no room), RemoteFailed, Usage (a file
    changed meanwhile) and what the transport raises; whatever is raised, the host's current release is whole.
    """
    began = time.perf_counter()
    while True:
        host = inspect(transport, deploy_dir, deadline, python)
        tree = tree if isinstance(tree, Tree) else tree()
        job = _Deploy(transport, tree, deploy_dir, switch, deadline, on_progress, python, note)
        try:
            return _deployed(job, host, limits, began)
        except Busy:
            if time.perf_counter() - began + _AGAIN > patience or deadline.remaining() < _AGAIN:
                raise
            time.sleep(_AGAIN)


def _deployed(job: _Deploy, host: Inspection, limits: Limits, began: float) -> Deployed:
    """Do what is left to do for a host that was asked."""
    transport, tree, deploy_dir, switch = job.transport, job.tree, job.deploy_dir, job.switch
    todo = task(host, tree, switch)
    action: Action = "noop"
    previous, sent, reused, count = host.current, 0, len(tree.entries), 0
    if todo == "verify":
        result = job.activate()
        if result.rc == UNVERIFIED:
            job.warnings.append(f"release {tree.release} on the host was damaged and is sent again: {words(result)}")
            todo = "send"
        elif not result.ok:
            raise refusal(result, transport.name, deploy_dir, f"release {tree.release} was not made current")
        elif switch:
            job.check_note(result)
            action, previous = "switched", before(result, host)
    if todo == "send":
        action = "uploaded"
        upload, previous, reused = job.upload(host)
        sent, count = upload.sent, len(tree.entries) - reused
        job.warnings += remarks(host, limits)
    return Deployed(
        release=tree.release,
        previous=previous,
        action=action,
        bytes_sent=sent,
        files_sent=count,
        files_reused=reused,
        seconds=time.perf_counter() - began,
        pinned_by=tuple(run for run, _ in host.live),
        warnings=(*tree.warnings, *job.warnings),
    )


def before(result: Result, host: Inspection) -> str | None:
    """The release that a script found current when it switched; if it did not switch, the one that still is."""
    said = dict(fields(result)).get("previous")
    return host.current if said is None else release_or_none(said)


def remarks(host: Inspection, limits: Limits) -> list[str]:
    """What the user should know of the host."""
    found = []
    if host.missing:
        found.append(f"the host has no {', '.join(host.missing)}: Python takes their place")
    extra = len(host.releases) - limits.keep_releases
    if extra > 0:
        found.append(
            f"the host keeps {len(host.releases)} releases, {extra} more than wanted: `fleet prune` lists them"
        )
    return found
