"""Manifests of releases that hosts have: kept here once they were seen, since a base is compared with its manifest."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from fleet.release.manifest import digest_of, release_id

#: Manifests kept; the oldest go.
_KEPT = 32


class ManifestStore:
    """A folder of manifests by release id. Each proves itself: its digest begins with its name."""

    def __init__(self, cache: Path | None, *, keep: bool = True) -> None:
        """`cache` is the folder that the store is part of; without one nothing is kept, nor if `keep` is False."""
        self._folder = None if cache is None else cache / "manifests"
        self._keep = keep

    def get(self, release: str) -> bytes | None:
        """A manifest that was kept, or None."""
        if self._folder is None:
            return None
        try:
            manifest = (self._folder / release).read_bytes()
        except OSError:
            return None
        return manifest if release_id(digest_of(manifest)) == release else None

    def put(self, manifest: bytes) -> None:
        """Keep a manifest. A folder that cannot be written costs later deploys a round trip, nothing else."""
        if self._folder is None or not self._keep:
            return
        release = release_id(digest_of(manifest))
        temporary = self._folder / f".{release}.{os.getpid()}-{time.monotonic_ns()}"
        with contextlib.suppress(OSError):
            if (self._folder / release).exists():
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(manifest)
            os.replace(temporary, self._folder / release)
            kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in kept[_KEPT:]:
                old.unlink()
