"""The folder and where its parts are."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from fleet.workspace import audit
from fleet.workspace.audit import AuditRecord
from fleet.workspace.cache import Cache
from fleet.workspace.files import make_folder, refusals, replace
from fleet.workspace.logcache import LIMIT, LogCache

NAME = ".fleet"
_IGNORE = b"*\n"


class Workspace:
    """State of `fleet` for one `fleet.json`: a folder of mode 0700 that git ignores, made when it is first used."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, or close an existing one to others. Raises Usage where that is impossible."""
        self.folder = folder
        with refusals(folder, "make"):
            make_folder(folder)
        with refusals(self.cache_folder, "make"):
            make_folder(self.cache_folder)
        with refusals(folder / ".gitignore", "write"):
            ignore = folder / ".gitignore"
            if not ignore.is_file():
                replace(ignore, _IGNORE)

    @classmethod
    def beside(cls, inventory: Path) -> Workspace:
        """The workspace of a `fleet.json`."""
        return cls(inventory.parent / NAME)

    @property
    def known_hosts(self) -> Path:
        """File of the host keys that the user trusted."""
        return self.folder / "known_hosts"

    @property
    def audit_trail(self) -> Path:
        """File with one JSON line for every action that changed something."""
        return self.folder / "audit.jsonl"

    @property
    def cache_folder(self) -> Path:
        """Folder of what can be made again."""
        return self.folder / "cache"

    @cached_property
    def cache(self) -> Cache:
        """Results of computations, by digest."""
        return Cache(self.cache_folder)

    def logs(self, limit: int = LIMIT) -> LogCache:
        """What was followed of the logs of runs; `limit` in bytes, for all of them together."""
        return LogCache(self.cache_folder / "logs", limit)

    def audit(self, record: AuditRecord) -> None:
        """Add a record to the trail; it is on the disk when this returns. Raises Usage."""
        audit.append(self.audit_trail, record)
