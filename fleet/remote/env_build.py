"""Builds one Python environment in place: under a lock, torn down and begun anew unless its record says it is complete.

It runs in the interpreter on which the environment is made (`python -I -c BOOT AGENT REQUEST`), writes progress and at
last one answer as JSON lines, and ends when its stdin does. The record `.fleet-ready.json` is written last.
"""

from __future__ import annotations

import json
import os
import pkgutil
import shutil
import sys
import time
from typing import Any

from fleet.remote.env_install import failed, install, make_venv
from fleet.remote.env_place import READY, clear, flush, read_json, refuse_if_in_use, remember, take, write
from fleet.remote.env_probe import WORKS, torch_problem
from fleet.remote.env_process import Installer, Refused
from fleet.remote.env_requirements import of_torch

BUSY = 75


def main() -> None:
    """Build what the second argument asks for."""
    os.umask(0o077)
    request = json.loads(sys.argv[2])
    try:
        answer, status = {"ready": build(request, os.path.expanduser(request["root"]))}, 0
    except Refused as refusal:
        answer, status = {"error": refusal.parts}, BUSY if refusal.parts["kind"] == "busy" else 1
    except OSError as error:
        words = f"{error.filename or 'writing the environment'}: {error.strerror}"
        fix = "see whether the folder can be written and has space"
        answer, status = {"error": {"kind": "remote", "what": words, "why": "the host refused it", "fix": fix}}, 1
    say(answer)
    raise SystemExit(status)


def say(answer: dict[str, Any]) -> None:
    """Write one line of JSON. That nobody listens is noticed by the end of stdin, not here."""
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def build(request: dict[str, Any], root: str) -> dict[str, Any]:
    """Make the environment unless it is complete, and return its record."""
    folder = os.path.join(root, "envs", request["environment"])
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    lock = take(folder + ".lock")
    works = not request["recreate"] and os.access(os.path.join(folder, "bin", "python"), os.X_OK)
    record = read_json(os.path.join(folder, READY)) if works else None
    action = "ready"
    if record is None:
        refuse_if_in_use(root, request["environment"])
        installer = Installer(folder + ".log", request["seconds"], lambda line: say({"progress": line}), lock)
        clear(folder)
        try:
            record, action = make(request, root, folder, installer), "built"
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    remember(request, root, record)
    return dict(record, action=action)


def make(request: dict[str, Any], root: str, folder: str, installer: Installer) -> dict[str, Any]:
    """Make the environment and prove that it works."""
    start = time.monotonic()
    say({"progress": f"making {request['environment']} on {request['base']['executable']}"})
    if request["mode"] != "uv":
        make_venv(folder, request["base"], request["mode"] == "reuse")
    install(folder, request, root, installer)
    facts = examine(folder, request, installer)
    torch = facts["torch"] or {}
    if request["mode"] == "reuse":
        refuse_another_torch(request["base"]["torch"], torch)
    before = request["base"]["packages"] if request["mode"] == "reuse" else {}
    installed = sorted(name for name, version in facts["packages"].items() if before.get(name) != version)
    record = dict(request["record"])
    record.update(
        schema=1,
        environment=request["environment"],
        mode=request["mode"],
        python=f"envs/{request['environment']}/bin/python",
        version=facts["version"],
        interpreter=request["base"]["real"],
        packages=facts["packages"],
        installed=installed,
        unpinned=unpinned(installed, request["pins"]),
        torch=torch.get("version"),
        torch_file=torch.get("file"),
        torch_path=torch.get("path"),
        cuda=torch.get("cuda"),
        nccl=torch.get("nccl"),
        devices=torch.get("devices", []),
        problem=torch_problem(facts["torch"], facts["gpus"], request["torch"]),
        driver=facts["driver"],
        driver_cuda=facts["driver_cuda"],
        seconds=round(time.monotonic() - start, 3),
        made=time.time(),
    )
    installer.note("complete")
    flush(folder)
    write(os.path.join(folder, READY), json.dumps(record))
    return record


def unpinned(installed: list[str], pins: list[str] | None) -> list[str]:
    """Installed packages that the constraints do not name. torch pins its own libraries."""
    return [] if pins is None else [name for name in installed if name not in pins and not of_torch(name)]


def examine(folder: str, request: dict[str, Any], installer: Installer) -> dict[str, Any]:
    """Ask the environment's own interpreter what it offers."""
    text = pkgutil.get_data("fleet.remote", "env_probe.py")
    assert text is not None
    python = os.path.join(folder, "bin", "python")
    probe = [python, "-E", "-c", text.decode(), str(request["probe_seconds"]), request["torch"], "torch"]
    status, output = installer.answer(probe, folder)
    lines = [line for line in output.splitlines() if line.strip()]
    if status not in (0, WORKS) or not lines:
        installer.tail.extend(lines[-20:])
        raise failed(installer, "the environment's Python does not answer", status)
    found = json.loads(lines[-1])
    assert isinstance(found, dict)
    return found


def refuse_another_torch(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Raise if what was installed shadows or changes the torch that was to be reused."""
    for key, name in (("version", "version"), ("git", "build"), ("cuda", "CUDA build"), ("path", "place")):
        if before[key] != after.get(key):
            why = after.get("error") or f"{name} was {before[key]} and is {after.get(key)}"
            break
    else:
        lost = len(before["devices"]) - len(after["devices"])
        if lost <= 0:
            return
        why = f"it saw {len(before['devices'])} devices and sees {len(after['devices'])}"
    raise Refused(
        "unverified",
        "torch is not the one that was to be reused any more",
        why,
        "build an environment of its own: fleet setup --isolated",
    )
