"""What is sent to hosts runs on their Python and their shell, and files arrive whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fleet.remote
from fleet.environment.upload import send_file
from fleet.errors import Unverified
from fleet.ssh import Cmd, Deadline, Result
from tests.farm.local import LocalTransport

REMOTE = Path(fleet.remote.__file__).parent
MODULES = sorted(path.stem for path in REMOTE.glob("env_*.py"))
SCRIPTS = sorted(path.name for path in REMOTE.glob("env-*.sh"))


def old_python() -> str | None:
    """A Python 3.8, among the versions that pyenv keeps (its command on PATH may stand for none) or on PATH."""
    versions = sorted((Path.home() / ".pyenv" / "versions").glob("3.8.*/bin/python3.8"))
    return next((str(path) for path in versions), None) or shutil.which("python3.8")


def test_modules_import_on_python_3_8(root: Path) -> None:
    python = old_python()
    if python is None:
        # Without one, the syntax at least is held against 3.8.
        import ast

        for name in MODULES:
            ast.parse((REMOTE / f"{name}.py").read_text(), feature_version=(3, 8))
        return
    code = "import importlib, sys; [importlib.import_module('fleet.remote.' + name) for name in sys.argv[1:]]"
    done = subprocess.run([python, "-c", code, *MODULES], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(MODULES) >= 6


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_posix(script: str) -> None:
    shells = [shell for shell in (["dash"], ["busybox", "sh"], ["sh"]) if shutil.which(shell[0])]
    assert shells
    for shell in shells:
        done = subprocess.run([*shell, "-n", REMOTE / script], capture_output=True, text=True)
        assert done.returncode == 0, f"{shell}: {done.stderr}"


class Cutting(LocalTransport):
    """Loses the end of what is sent, which looks like an end of file on the host."""

    def stream_in(self, cmd: Cmd, chunks, *, deadline: Deadline) -> Result:
        return super().stream_in(cmd, [b"".join(chunks)[:-1]], deadline=deadline)


def test_a_torn_file_never_becomes_visible(tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(os.urandom(100_000))
    digest = hashlib.sha256(local.read_bytes()).hexdigest()
    folder = tmp_path / "home" / "wheels"
    folder.mkdir(parents=True)
    abandoned, fresh = folder / ".receiving-dead", folder / ".receiving-alive"
    for path in (abandoned, fresh):
        path.write_bytes(b"half")
    os.utime(abandoned, (time.time() - 120,) * 2)
    limit = Deadline.after(20)
    with pytest.raises(Unverified, match="99999 of 100000 bytes arrived"):
        send_file(Cutting(tmp_path), sys.executable, local, str(folder / digest), digest, "400", limit)
    assert [path.name for path in folder.iterdir()] == [fresh.name], "torn or abandoned files are left"
    send_file(LocalTransport(tmp_path), sys.executable, local, str(folder / digest), digest, "400", limit)
    assert (folder / digest).read_bytes() == local.read_bytes()
    assert (folder / digest).stat().st_mode & 0o777 == 0o400
