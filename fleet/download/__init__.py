"""Files of a run from its host to a folder here: listed first, sent in ranges, proved by SHA-256, then renamed.

It exists so that an interrupted copy goes on where it stopped, and so that what lies under its final name is whole.
"""

from __future__ import annotations

from fleet.download.downloading import Downloaded, Progress, download
from fleet.download.listing import Ask, Listing, RemoteFile, Skipped, list_run

__all__ = ["Ask", "Downloaded", "Listing", "Progress", "RemoteFile", "Skipped", "download", "list_run"]
