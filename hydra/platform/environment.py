"""The environment of a run, as `environment.json` stores it: versions, devices, power limits and the code's commit.

It exists so that a number can be repeated: a rate without its power limit, or a loss without its commit, cannot.
Environment variables are never read into it, because secrets live there.
"""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import hydra
from hydra.platform.capabilities import Capabilities

#: What of a checkout decides what a run computes.
_CODE = ("hydra", "trainer.py", "pyproject.toml", "constraints.txt")
_QUERY = ("index", "name", "uuid", "memory.total", "power.limit", "clocks.max.sm", "driver_version")


def environment(capabilities: Capabilities) -> dict[str, Any]:
    """What `environment.json` holds. Keys that the machine cannot answer are absent, never guessed."""
    record: dict[str, Any] = {
        "hydra": hydra.__version__,
        "versions": dict(capabilities.versions),
        "device": {
            "kind": capabilities.kind,
            "name": capabilities.name,
            "memory_bytes": capabilities.memory_bytes,
        },
        "host": {
            "name": socket.gethostname(),
            "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "cores": capabilities.cores,
        },
    }
    if capabilities.compute_capability is not None:
        record["device"]["compute_capability"] = list(capabilities.compute_capability)
        record["device"]["peak_bf16_flops"] = capabilities.peak_flops
        record["gpus"] = _gpus()
    code = _commit(Path(hydra.__file__).resolve().parents[1])
    if code is not None:
        record["code"] = code
    return record


def _gpus() -> list[dict[str, str]]:
    """One row per GPU as the driver's own tool reports it; empty where the tool is not installed."""
    answer = _output("nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader")
    rows = [] if answer is None else answer.splitlines()
    return [dict(zip(_QUERY, (cell.strip() for cell in row.split(",")), strict=True)) for row in rows]


def _commit(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout that the code runs from, and whether that code differs; None outside a git checkout.

    Own texts, manifests and notes beside the code change no run that does not name them, so they are not looked at.
    """
    if not (folder / ".git").exists():
        return None
    commit = _output("git", "-C", str(folder), "rev-parse", "HEAD")
    changes = _output("git", "-C", str(folder), "status", "--porcelain", "--", *_CODE)
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _output(program: str, *arguments: str) -> str | None:
    """What a program prints; None when it is not installed, fails, or does not answer within ten seconds."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
