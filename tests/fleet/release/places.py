"""A project to deploy and a host to deploy it to, as the tests of releases need them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fleet.release import Deployed, Tree, deploy, scan
from fleet.ssh import Cmd, Deadline, Transport
from tests.farm.local import LocalTransport

#: For tests that ask git: the program is enough, whatever this copy of the sources is.
needs_git = pytest.mark.skipif(
    shutil.which("git") is None, reason="no git on this machine (Debian and Ubuntu: apt-get install git)"
)
GIT = ("git", "-c", "user.name=tester", "-c", "user.email=tester@localhost", "-c", "commit.gpgsign=false")
#: Content of a file: its bytes, and whether it can be executed; or the target of a link.
Content = bytes | tuple[bytes, bool] | str

#: Names that have hurt somebody: options, quotes, globs, escapes, other alphabets, bytes that are no text.
ODD = [
    *(b"-rf", b"--help", b"-", b"a b", b" lead", b"trail ", b"'", b'"', b"`id`", b"$(id)", b"$HOME", b"~", b"*", b"?"),
    *(b"[a]", b"back\\slash", b"\\", b"tab\there", b"#c", b"!x", b"a;b", b"a|b", b"a&b", b"<x>", b"%s", b"\x7f"),
    *("größe".encode(), "数据".encode(), "e\u0301".encode(), b"\xff\xfe", b"\x01", b"..x", b"...", b".x", b"a" * 200),
]


class PlainTransport(LocalTransport):
    """A login without root's privileges, also when root runs the tests: permissions mean what they say."""

    def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
        plain = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
        argv = [*plain, "/bin/sh", "-c", cmd.line()]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, cwd=self.home, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe)


def soon(seconds: float = 60) -> Deadline:
    """A deadline that a test never meets."""
    return Deadline.after(seconds)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; returns what it printed."""
    done = subprocess.run([*GIT, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write(root: Path, files: Mapping[str | bytes, Content]) -> None:
    """Write files: bytes, (bytes, True) for one that can be executed, a string for a link to that path."""
    for name, content in files.items():
        path = Path(os.fsdecode(os.path.join(os.fsencode(root), os.fsencode(name))))
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.symlink_to(content)
            continue
        data, executable = content if isinstance(content, tuple) else (content, False)
        path.write_bytes(data)
        path.chmod(0o755 if executable else 0o644)


def repository(root: Path, files: Mapping[str | bytes, Content], *, commit: bool = True) -> Path:
    """A git work tree with these files."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "--quiet", "--initial-branch=main")
    write(root, files)
    if commit:
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message=first")
    return root


def seen(root: Path) -> dict[bytes, tuple[str, bytes]]:
    """Everything below a folder but its control files: path -> (kind or mode, content or target)."""
    found: dict[bytes, tuple[str, bytes]] = {}
    top = os.fsencode(root)
    for folder, names, files in os.walk(top):
        if os.path.relpath(folder, top).split(b"/")[0] == b".fleet":
            continue
        for name in [*files, *(name for name in names if os.path.islink(os.path.join(folder, name)))]:
            path = os.path.join(folder, name)
            inner = os.path.relpath(path, top)
            if os.path.islink(path):
                found[inner] = ("link", os.readlink(path))
            else:
                mode = "run" if os.stat(path).st_mode & 0o100 else "file"
                found[inner] = (mode, Path(os.fsdecode(path)).read_bytes())
    return found


def folders(root: Path) -> set[str]:
    """Every folder below a release, but for the one of its control files."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir() and not path.is_symlink()} - {
        ".fleet"
    }


def digest_of_everything(root: Path) -> str:
    """One digest over names, modes, times and contents below a folder: equal means that nothing was touched."""
    state = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        state.update(f"{path} {status.st_mode:o} {status.st_mtime_ns} {status.st_ino}\n".encode(errors="replace"))
        if path.is_file() and not path.is_symlink():
            state.update(path.read_bytes())
    return state.hexdigest()


@dataclass
class Host:
    """A host of which the home is a folder here."""

    home: Path
    deploy_dir: str = "~/fleet/hydra"
    transport: Any = None
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.transport = self.transport or PlainTransport(self.home, **self.options)

    @property
    def base(self) -> Path:
        """deploy_dir."""
        return Path(self.deploy_dir.replace("~", str(self.home), 1) if self.deploy_dir[0] == "~" else self.deploy_dir)

    @property
    def machine(self) -> Path:
        """The folder of the one machine that uses this home."""
        (found,) = (self.base / "hosts").iterdir()
        return found

    def current(self) -> str | None:
        """Release that `current` points to."""
        link = self.machine / "current"
        return os.readlink(link).rsplit("/", 1)[1] if link.is_symlink() else None

    def release(self, name: str) -> Path:
        """The folder of a release."""
        return self.base / "releases" / name

    def released(self) -> set[str]:
        """Names in releases/."""
        return {path.name for path in (self.base / "releases").iterdir()}

    def left(self) -> list[str]:
        """Names in tmp/."""
        return [path.name for path in (self.machine / "tmp").iterdir()]

    def deploy(self, tree: Tree, **options: Any) -> Deployed:
        """Deploy a tree."""
        transport: Transport = options.pop("transport", self.transport)
        return deploy(transport, tree, self.deploy_dir, deadline=soon(), **options)

    def deploy_files(self, root: Path, files: Mapping[str | bytes, Content], **options: Any) -> Deployed:
        """Write files into a fresh folder outside git and deploy it."""
        write(root, files)
        return self.deploy(scan(root), **options)
