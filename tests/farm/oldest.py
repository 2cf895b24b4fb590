"""The oldest Python that hosts may have, for running on it what is sent there."""

from __future__ import annotations

import shutil
from pathlib import Path


def oldest_python() -> str | None:
    """A Python 3.8, among the versions that pyenv keeps (its command on PATH may stand for none) or on PATH."""
    versions = sorted((Path.home() / ".pyenv" / "versions").glob("3.8.*/bin/python3.8"))
    return next((str(path) for path in versions), None) or shutil.which("python3.8")
