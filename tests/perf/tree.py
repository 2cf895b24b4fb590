"""A source tree of a given size, always the same, and the look at a host that says whether it arrived whole."""

from __future__ import annotations

import hashlib
import math
import random
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: The tree of the targets: 2,078 files, 30.5 MiB.
FILES, SIZE = 2078, int(30.5 * (1 << 20))
#: What a deploy does not send, and rsync therefore must not either.
IGNORED = ("fleet.json", ".fleet", ".git")


def make_tree(root: Path, files: int = FILES, size: int = SIZE, seed: int = 1) -> list[Path]:
    """Write the files, commit them, and return their paths. Sizes are spread like those of sources and their data."""
    chance = random.Random(seed)
    weights = [math.exp(chance.gauss(0, 1.5)) for _ in range(files)]
    scale = size / sum(weights)
    paths = []
    for number, weight in enumerate(weights):
        path = root / f"package{number % 37}" / f"part{number % 5}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(chance, max(1, int(weight * scale))))
        if number % 50 == 0:
            path.chmod(0o755)
        paths.append(path)
    (root / ".gitignore").write_text("".join(f"/{name}\n" for name in IGNORED[:2]))
    # git reads files again and again that are as new as its index, by the second: as no tree is that somebody works in.
    time.sleep(1.1)
    commit(root)
    return paths


def content(chance: random.Random, size: int) -> bytes:
    """Bytes that compress about as text does: half of each line is random."""
    letters = bytes(range(97, 123))
    line = b"    value = compute(argument, other)  # "
    lines = []
    while size > 0:
        lines.append((line + bytes(chance.choices(letters, k=36)) + b"\n")[:size])
        size -= len(lines[-1])
        if len(lines) > 64:
            # Long files repeat their lines with another number each, which is quick to make and still all different.
            block = b"".join(lines)
            lines = [block]
            while size > 0:
                lines.append((b"%d\n" % size + block)[:size])
                size -= len(lines[-1])
    return b"".join(lines)


def commit(root: Path) -> None:
    """Make the tree a git checkout without changes, with nobody's configuration."""
    settings = ("-c", "user.name=measured", "-c", "user.email=measured@example.com", "-c", "commit.gpgsign=false")
    steps: list[Sequence[str]] = [("init", "-q"), ("add", "-A"), (*settings, "commit", "-q", "-m", "tree")]
    for step in steps:
        subprocess.run(["git", *step], cwd=root, check=True, capture_output=True)


def digests(root: Path) -> dict[str, str]:
    """SHA-256, and whether it is executable, of every file below, but for what is not deployed."""
    found = {}
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        if relative.parts[0] not in IGNORED and path.is_file():
            executable = "x" if path.stat().st_mode & 0o100 else "-"
            found[relative.as_posix()] = executable + hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@dataclass(frozen=True)
class Deployed:
    """What a host has under its deploy_dir, read from its file system."""

    deploy_dir: Path

    def machine(self) -> Path | None:
        """The folder of the one machine that uses this deploy_dir; None before the first deploy."""
        hosts = self.deploy_dir / "hosts"
        found = sorted(hosts.iterdir()) if hosts.is_dir() else []
        assert len(found) <= 1, f"two machines in {self.deploy_dir}: {found}"
        return found[0] if found else None

    def current(self) -> Path | None:
        """The release that `current` points to. A link that points nowhere is returned as it is."""
        machine = self.machine()
        link = machine / "current" if machine is not None else None
        if link is None or not link.is_symlink():
            return None
        return link.parent / link.readlink()

    def leftovers(self) -> list[Path]:
        """What lies in the folder for unfinished uploads."""
        machine = self.machine()
        return sorted((machine / "tmp").iterdir()) if machine is not None and (machine / "tmp").is_dir() else []

    def fault(self, *wanted: dict[str, str]) -> str | None:
        """Why `current` is none of the wanted trees, or None if it is one; absent is right before the first deploy."""
        current = self.current()
        if current is None:
            return None
        if not current.is_dir():
            return f"current points to {current}, which is no folder"
        found = digests(current)
        if found in wanted:
            return None
        nearest = min(wanted, key=lambda tree: len(tree.items() ^ found.items()))
        return f"{current.name} differs from every tree: {sorted(nearest.items() ^ found.items())[:5]}"

    def torn_releases(self) -> list[str]:
        """Releases whose name is not the digest of their own manifest: published though incomplete or changed."""
        releases = self.deploy_dir / "releases"
        found = []
        for release in sorted(releases.iterdir()) if releases.is_dir() else []:
            manifest = release / ".fleet" / "manifest"
            named = hashlib.sha256(manifest.read_bytes()).hexdigest()[:16] if manifest.is_file() else "no manifest"
            if named != release.name:
                found.append(f"{release.name}: {named}")
        return found
