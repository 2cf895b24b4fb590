"""A package index of a few files: wheels that tests make themselves, and projects that ask for them."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel that holds one module of the package's name, or the given files."""
    info = f"{name}-{version}.dist-info"
    members = {f"{name}.py": f"VERSION = {version!r}\n".encode(), **(files or {})}
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    members[f"{info}/METADATA"] = "\n".join([*metadata, *(f"Requires-Dist: {line}" for line in requires), ""]).encode()
    members[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    rows = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in members.items()]
    members[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as target:
        for path, data in members.items():
            target.writestr(path, data)
    return wheel


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def pip_settings(folder: Path) -> str:
    """The text of a pip.conf that knows no index but this folder."""
    return f"[global]\nno-index = true\nfind-links = {folder}\n"


def locked(*wheels: Path) -> str:
    """A requirements file with digests, as lock tools write it."""
    parts = []
    for wheel in wheels:
        name, version, *_ = wheel.name.split("-")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        parts.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n    # via the project\n")
    return "".join(parts)


def project(*dependencies: str, extras: Mapping[str, Sequence[str]] | None = None) -> str:
    """The text of a pyproject.toml."""
    listed = ", ".join(f'"{line}"' for line in dependencies)
    optional = [
        f"{name} = [{', '.join(f'{chr(34)}{line}{chr(34)}' for line in lines)}]"
        for name, lines in (extras or {}).items()
    ]
    table = "\n".join(["[project.optional-dependencies]", *optional, ""]) if optional else ""
    return f'[project]\nname = "fake-project"\nversion = "1"\ndependencies = [{listed}]\n{table}'
