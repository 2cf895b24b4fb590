"""Results that can be computed again, each under the digest of what they were computed from."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from fleet.workspace.files import replace

_DIGEST_LENGTH = 64


class Cache:
    """Keeps one entry of each kind in a folder that exists. To lose an entry, or be unable to write one, costs time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, kind: str, key: str) -> bytes | None:
        """What was put under this key, or None: also for an entry that was damaged, or that cannot be read."""
        try:
            content = self._path(kind, key).read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST_LENGTH], content[_DIGEST_LENGTH + 1 :]
        return data if digest == _digest(data) else None

    def put(self, kind: str, key: str, data: bytes) -> None:
        """Keep the data in place of whatever this kind had before."""
        path = self._path(kind, key)
        # A full disk or a folder that may only be read loses the time that the entry would have saved, nothing else.
        with contextlib.suppress(OSError):
            replace(path, _digest(data) + b"\n" + data)
            for other in self._folder.glob(f"{kind}-*.json"):
                if other != path:
                    other.unlink(missing_ok=True)

    def _path(self, kind: str, key: str) -> Path:
        return self._folder / f"{kind}-{key}.json"


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()
