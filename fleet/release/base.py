"""Which release of a host a new one is best built upon, so that little has to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fleet.release.changes import Changes, changes
from fleet.release.inspection import Inspection
from fleet.release.manifest import digest_of, parse
from fleet.release.store import ManifestStore
from fleet.release.tree import Tree
from fleet.ssh import Cmd, Deadline, Transport

#: The host keeps the steps in one argument list; where there are more, sending everything is as good.
_STEPS: Final = 2000
#: Newest releases that are considered.
_CANDIDATES: Final = 8


@dataclass(frozen=True, slots=True)
class Base:
    """A release of the host, and what leads from it to the tree."""

    release: str
    changes: Changes


def nearest(
    transport: Transport, host: Inspection, tree: Tree, store: ManifestStore, deadline: Deadline
) -> Base | None:
    """The release that shares most entries with the tree; None if none shares half of them, or the way is too long.

    Manifests are known from earlier deploys. Only if not one of them is, the current one is fetched from the host.
    """
    # One that lies under the tree's own id is not what it says, or there would be nothing to send.
    candidates = [release for release in host.releases[:_CANDIDATES] if release != tree.release]
    known = {release: manifest for release in candidates if (manifest := store.get(release)) is not None}
    if not known and host.current is not None and host.current != tree.release:
        manifest = _fetched(transport, host, deadline)
        if manifest is not None:
            store.put(manifest)
            known[host.current] = manifest
    wanted = set(tree.manifest.split(b"\n"))
    shared = {release: len(wanted.intersection(manifest.split(b"\n"))) for release, manifest in known.items()}
    best = max(shared, key=lambda release: shared[release], default=None)
    if best is None or 2 * shared[best] < len(wanted):
        return None
    way = changes(parse(known[best]), tree.entries)
    return Base(best, way) if way.count <= _STEPS else None


def _fetched(transport: Transport, host: Inspection, deadline: Deadline) -> bytes | None:
    """The manifest of the current release, if it is whole."""
    path = f"{host.base}/releases/{host.current}/.fleet/manifest"
    result = transport.exec(Cmd(("cat", path)), deadline=deadline)
    return result.out if result.ok and digest_of(result.out) == host.current_digest else None
