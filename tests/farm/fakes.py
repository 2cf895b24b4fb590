"""Fake tools for hosts: folders to put on a farm's PATH. POSIX shell that needs no program but cat and sleep."""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.farm.nvidia_smi import Gpu, gpus, nvidia_smi
from tests.farm.server import SYSTEM_PATH
from tests.farm.tools import tool

__all__ = [
    "Gpu",
    "dmesg",
    "failing_nvidia_smi",
    "gpus",
    "hanging_nvidia_smi",
    "nvidia_smi",
    "plain_tar",
    "tool",
    "unreadable_dmesg",
    "without",
]


def failing_nvidia_smi(folder: Path, status: int = 15) -> Path:
    """An `nvidia-smi` that fails at once, as for a GPU that fell off the bus."""
    said = "Unable to determine the device handle for GPU0000:3B:00.0: GPU is lost.  Reboot the system to recover it"
    return tool(folder, "nvidia-smi", f"echo '{said}'\nexit {status}\n")


def hanging_nvidia_smi(folder: Path, seconds: int = 60) -> Path:
    """An `nvidia-smi` that says nothing for so long, then ends. It dies of TERM, as the real one in user space."""
    return tool(folder, "nvidia-smi", f"exec sleep {seconds}\n")


def dmesg(folder: Path, xids: Sequence[tuple[int, str]], name: str = "dmesg") -> Path:
    """A kernel log with these Xid errors as (number, PCI bus id such as 0000:3b:00), one second apart.

    The options of dmesg are ignored but for -T and --ctime, which change the time's form. `name` may be `journalctl`.
    """
    other = ["NVRM: loading NVIDIA UNIX x86_64 Kernel Module  570.86.15", "EXT4-fs (sda1): mounted filesystem"]
    lines = other + [f"NVRM: Xid (PCI:{bus}): {number}, pid=4711, name=python, Ch 00000008" for number, bus in xids]
    plain = "\n".join(f"[{1000 + number:5d}.000000] {line}" for number, line in enumerate(lines))
    dated = "\n".join(f"[Mon Jan  6 10:00:{number:02d} 2025] {line}" for number, line in enumerate(lines))
    choice = 'for option in "$@"; do case $option in -T|--ctime) form=dated;; esac; done'
    shown = f"case $form in\nplain) cat <<'END'\n{plain}\nEND\n;;\n*) cat <<'END'\n{dated}\nEND\nesac\n"
    return tool(folder, name, f"form=plain\n{choice}\n{shown}")


def unreadable_dmesg(folder: Path) -> Path:
    """A kernel log that only root may read."""
    said = "dmesg: read kernel buffer failed: Operation not permitted"
    return tool(folder, "dmesg", f"echo '{said}' >&2\nexit 1\n")


def plain_tar(folder: Path) -> Path:
    """A `tar` without GNU's long options, as busybox and the BSDs have it; put its folder first on PATH."""
    real = shutil.which("tar", path=SYSTEM_PATH)
    assert real, "no tar on this machine"
    refuse = (
        'for option in "$@"; do case $option in --?*)\n'
        "echo \"tar: unrecognized option '$option'\" >&2; exit 1;; esac; done\n"
    )
    return tool(folder, "tar", f'{refuse}exec {real} "$@"\n')


def without(folder: Path, missing: Iterable[str], tools: Mapping[str, str] | None = None) -> Path:
    """A whole PATH in one folder: the system's programs but for those whose names match, such as `python3*`.

    `tools` adds scripts, by name, with their text. Use it as a farm's `path`.
    """
    patterns = list(missing)
    folder.mkdir(parents=True)
    for place in SYSTEM_PATH.split(os.pathsep):
        for program in sorted(Path(place).iterdir()) if Path(place).is_dir() else []:
            left_out = any(fnmatch.fnmatchcase(program.name, pattern) for pattern in patterns)
            link = folder / program.name
            if not left_out and not link.is_symlink() and os.access(program, os.X_OK):
                link.symlink_to(program)
    for name, body in (tools or {}).items():
        (folder / name).unlink(missing_ok=True)
        tool(folder, name, body)
    return folder
