"""The agent as one file: a zip of this package that Python executes, the same bytes whoever makes it.

Its name on the host is its digest, so a newer agent never replaces the one that a live run was started with.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

#: The earliest time that a zip file can hold: times would make two equal archives differ.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def archive() -> tuple[bytes, str]:
    """The bytes of the agent and their SHA-256 in hex."""
    here = Path(__file__).parent
    members = [("__main__.py", (here / "entry.py").read_text("utf-8")), ("fleet/__init__.py", "")]
    members += [(f"fleet/remote/{path.name}", path.read_text("utf-8")) for path in sorted(here.glob("*.py"))]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name, text in members:
            target.writestr(zipfile.ZipInfo(name, _EPOCH), text)
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()
