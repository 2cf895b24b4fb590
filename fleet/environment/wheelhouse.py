"""Wheels for a host without an index: gathered here for its platform and Python, sent once, installed by digest."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fleet.environment.foreign import ForeignPip
from fleet.environment.plan import Build, refuse_unknown_libc
from fleet.environment.upload import digest, send_file
from fleet.errors import Blocked, RemoteFailed
from fleet.remote.env_requirements import (
    canonical,
    constraints_for_reuse,
    for_reuse,
    kept_in_place,
    logical_lines,
    name_of,
)
from fleet.ssh import Cmd, Deadline, Transport

_MISSING: Final = "No matching distribution found for "
#: What pip names when it finds nothing: a requirement, or a constraint that nothing meets.
_SUSPECT: Final = re.compile(rf"(?:{_MISSING}|\(constraint\) )([A-Za-z0-9._-]+)")
_ABSENT: Final = "import os, sys; print(*(n for n in sys.stdin.read().split() if not os.path.exists(sys.argv[1] + n)))"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel in the cache of this side."""

    name: str
    """Canonical name of the package."""
    version: str
    file: str
    sha256: str
    size: int

    def told(self) -> dict[str, str]:
        """What the builder must know of it."""
        return {"name": self.name, "version": self.version, "file": self.file, "sha256": self.sha256}


def gather(host: str, build: Build, cache: Path, deadline: Deadline) -> tuple[Wheel, ...]:
    """The wheels that the host lacks, all of them in `cache` afterwards.

    The index is asked only if the same lock was not gathered for the same platform before. Raises Blocked naming the
    package that has no wheel for the host, before anything is sent.
    """
    refuse_unknown_libc(host, build)
    pip = ForeignPip(build.choice.interpreter, deadline)
    files = _inputs(build)
    key = hashlib.sha256(json.dumps([pip.decisive(), files], sort_keys=True).encode()).hexdigest()[:16]
    record = cache / f"{key}.json"
    wheels = _recorded(record, cache)
    if wheels is None:
        wheels = _download(host, build, pip, files, cache)
        record.write_text(json.dumps([asdict(wheel) for wheel in wheels], indent=1), encoding="utf-8")
    if not build.choice.reuse:
        return wheels
    present = dict(build.choice.interpreter.packages)
    wanted = [one for one in wheels if present.get(one.name) != one.version]
    return tuple(one for one in wanted if not kept_in_place(one.name, present))


def send_wheels(
    transport: Transport,
    build: Build,
    cache: Path,
    wheels: Sequence[Wheel],
    deadline: Deadline,
    tell: Callable[[str], None],
) -> None:
    """Send those that the host does not have, each into the place of its digest."""
    python, folder = build.choice.interpreter.path, f"{build.survey.root}/wheels/sha256/"
    asked = "\n".join(wheel.sha256 for wheel in wheels).encode()
    result = transport.exec(Cmd((python, "-I", "-c", _ABSENT, folder)), stdin=asked, deadline=deadline)
    if not result.ok:
        raise RemoteFailed(
            f"{transport.name}: could not look into {folder}: {result.err.decode('utf-8', 'replace').strip()}",
            why="wheels that are there already are not sent again",
            fix="see whether the folder can be read",
            example=f"fleet run {transport.name} -- ls -l {folder}",
            host=transport.name,
        )
    absent = set(result.out.decode().split())
    for wheel in wheels:
        if wheel.sha256 in absent:
            tell(f"sending {wheel.file} ({wheel.size / 2**20:.1f} MiB)")
            local = cache / wheel.file
            send_file(transport, python, local, folder + wheel.sha256, wheel.sha256, "400", deadline)


def _inputs(build: Build) -> dict[str, str]:
    """The files that pip reads, by name. In reuse mode the torch in place is left out, with all that comes with it."""
    lock, present = build.lock, dict(build.choice.interpreter.packages)
    reuse = build.choice.reuse
    if lock.kind == "hashed":
        return {"requirements.txt": for_reuse(lock.text, present) if reuse else lock.text}
    lines = "".join(f"{line}\n" for line in lock.requirements)
    return {
        "requirements.txt": for_reuse(lines, present) if reuse else lines,
        "constraints.txt": constraints_for_reuse(lock.text, present) if reuse else lock.text,
    }


def _download(host: str, build: Build, pip: ForeignPip, files: dict[str, str], cache: Path) -> tuple[Wheel, ...]:
    cache.mkdir(0o700, parents=True, exist_ok=True)
    # A folder of its own: what is in it afterwards is exactly what this lock needs.
    with tempfile.TemporaryDirectory(prefix=".gathering-", dir=cache) as scratch:
        folder = Path(scratch)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        # A lock with digests lists everything; constraints must be resolved.
        hashed = ["--require-hashes", "--no-deps"]
        options = hashed if build.lock.kind == "hashed" else ["-c", str(folder / "constraints.txt")]
        output = pip.download(folder, ["-r", str(folder / "requirements.txt"), *options])
        if output is not None:
            raise _refused(host, pip, output, _missing(pip, folder, build.lock.text, output))
        return tuple(_kept(path, cache) for path in sorted(folder.glob("*.whl")))


def _kept(path: Path, cache: Path) -> Wheel:
    sha256, size = digest(path)
    name, version, *_ = path.name.split("-")
    path.replace(cache / path.name)
    return Wheel(canonical(name), version, path.name, sha256, size)


def _recorded(record: Path, cache: Path) -> tuple[Wheel, ...] | None:
    """What was gathered before, if all of it is still there."""
    try:
        wheels = tuple(Wheel(**fields) for fields in json.loads(record.read_text(encoding="utf-8")))
        complete = all((cache / wheel.file).stat().st_size == wheel.size for wheel in wheels)
    except (OSError, ValueError, TypeError):
        return None
    return wheels if complete else None


def _missing(pip: ForeignPip, folder: Path, lock: str, output: str) -> list[str]:
    """Which of the packages that pip complains about have no wheel: each is asked for alone, as it is pinned."""
    pins = {name_of(line): line.split(";")[0].split(" ")[0] for _, line in logical_lines(lock)}
    suspects = dict.fromkeys(canonical(name) for name in _SUSPECT.findall(output))
    alone = [pins.get(name, name) for name in suspects]
    return [pin for pin in alone if _MISSING in (pip.download(folder, ["--no-deps", pin]) or "")]


def _refused(host: str, pip: ForeignPip, output: str, missing: Sequence[str]) -> Blocked:
    if missing:
        what = f"no wheel of {', '.join(missing)} for {host} ({pip.target()})"
        why = "a host without an index gets wheels alone, and the index of this side has none that fits"
        fix = "choose a version that has one, add a folder with it to pip's find-links, or set the host up online"
    else:
        lines = [line for line in output.splitlines() if "ERROR" in line or "No module named" in line]
        what = f"gathering wheels for {host} ({pip.target()}) failed: {' | '.join(lines[-3:]) or output.strip()[-200:]}"
        why, fix = "pip on this side could not fetch what the lock names", "see what it says; nothing was sent"
    return Blocked(what, why=why, fix=fix, example=f"fleet setup {host}", host=host)
