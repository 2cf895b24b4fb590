"""`.fleet/` beside `fleet.json`: what the tool itself keeps on this machine, closed to everybody else.

It exists so that the user's own files are only read: known hosts, caches, the audit trail and followed logs live here.
"""

from __future__ import annotations

from fleet.workspace.audit import AuditRecord
from fleet.workspace.cache import Cache
from fleet.workspace.folder import Workspace
from fleet.workspace.logcache import LogCache

__all__ = ["AuditRecord", "Cache", "LogCache", "Workspace"]
