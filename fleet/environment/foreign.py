"""pip on this side, choosing wheels for an interpreter of a host."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.environment.interpreter import Interpreter
from fleet.ssh import Deadline

#: Oldest glibc 2.x for which there are wheels (manylinux1).
_OLDEST_GLIBC: Final = 5
#: Markers that name the running kernel; no package depends on them.
_KERNEL: Final = ("platform_release", "platform_version")


@dataclass(frozen=True, slots=True)
class ForeignPip:
    """Downloads for one interpreter until a deadline."""

    interpreter: Interpreter
    deadline: Deadline

    def download(self, folder: Path, asked: Sequence[str]) -> str | None:
        """Fetch wheels into a folder. The result is what pip said if it failed, else None."""
        options = ["--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar=off"]
        options += ["--only-binary=:all:", "--dest", str(folder), *asked, *tags(self.interpreter)]
        script = Path(__file__).with_name("foreign_pip.py")
        command = [sys.executable, str(script), json.dumps(dict(self.interpreter.markers)), "download", *options]
        limit = self.deadline.remaining()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            raise self.deadline.error("gathering wheels") from None
        return done.stdout + done.stderr if done.returncode else None

    def target(self) -> str:
        """What the wheels are for, in words."""
        return f"Python {self.interpreter.version} on {self.interpreter.platform}, {self.interpreter.libc}"

    def decisive(self) -> list[Any]:
        """All about the interpreter that decides which wheels are chosen."""
        markers = {name: value for name, value in self.interpreter.markers.items() if name not in _KERNEL}
        return [tags(self.interpreter), markers]


def tags(one: Interpreter) -> list[str]:
    """pip's options for an interpreter: every glibc from the host's down, as a wheel names the oldest that it needs."""
    machine = one.platform.removeprefix("linux-").replace("-", "_")
    newest = int(one.libc.removeprefix("glibc 2."))
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, _OLDEST_GLIBC - 1, -1)]
    platforms += [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
    abi = "cp" + "".join(one.version.split(".")[:2])
    options = ["--python-version", one.version, "--implementation", "cp"]
    options += [part for name in (abi, "abi3", "none") for part in ("--abi", name)]
    return options + [part for name in platforms for part in ("--platform", name)]
