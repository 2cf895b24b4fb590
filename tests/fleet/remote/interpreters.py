"""The Python interpreters of this machine that may run the agent: hosts have what they have, from 3.8 on."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 8)
_ASK = "import sys; print(*sys.version_info[:2])"


@functools.cache
def interpreters() -> dict[str, str]:
    """`3.8` -> path, one for each version from 3.8 on, this interpreter among them; on PATH and below pyenv's root."""
    candidates = [sys.executable]
    candidates += [path for minor in range(8, 16) if (path := shutil.which(f"python3.{minor}"))]
    candidates += [path for path in (shutil.which("python3", path=os.defpath),) if path]
    pyenv = shutil.which("pyenv")
    if pyenv is not None:
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True).stdout.strip()
        candidates += [str(path) for path in sorted(Path(root or os.devnull).glob("versions/*/bin/python3"))]
    found: dict[str, str] = {}
    for path in candidates:
        asked = subprocess.run([path, "-I", "-S", "-c", _ASK], capture_output=True, text=True)
        version = tuple(map(int, asked.stdout.split())) if asked.returncode == 0 else ()
        if version >= OLDEST:
            found.setdefault(".".join(map(str, version)), path)
    return found
