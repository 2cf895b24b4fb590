"""The place of an environment on the host: its lock, its record, who uses it, and which request it answers.

Locks are kernel locks, so they end with the processes that hold them, and files that decide something are replaced
whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import glob
import json
import os
import shutil
import time
from typing import Any

from fleet.remote.env_process import Refused

READY = ".fleet-ready.json"
_LIVE = ("starting", "running", "stopping", "backoff")


def take(path: str) -> int:
    """The build's lock. It is a kernel lock, so it ends with this process and the installer, however they end."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 200).decode("utf-8", "replace").strip()
        raise Refused(
            "busy",
            "this environment is being built by %s" % (holder or "somebody else"),
            "two builds in one folder would destroy each other",
            "wait for it to end, then run the same command again",
        ) from None
    os.ftruncate(lock, 0)
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    os.pwrite(lock, f"process {os.getpid()} on {os.uname().nodename} since {since}\n".encode(), 0)
    return lock


def refuse_if_in_use(root: str, environment: str) -> None:
    """Raise if a live run uses this environment: it holds a lock in its folder as long as it lives."""
    for path in glob.glob(os.path.join(glob.escape(root), "runs", "*", "state.json")):
        state = read_json(path) or {}
        if state.get("environment") == environment and state.get("state") in _LIVE and _held(os.path.dirname(path)):
            raise Refused(
                "busy",
                f"run {os.path.basename(os.path.dirname(path))} uses environment {environment}",
                "nothing that a live run uses is changed under it",
                "stop the run first, or wait for its end",
            )


def _held(run: str) -> bool:
    for name in ("supervisor.lock", "lock"):
        try:
            with open(os.path.join(run, name), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            continue
    return False


def clear(folder: str) -> None:
    """Remove an environment. Its record goes first: whatever remains after a kill is no environment."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, READY))
    if os.path.isdir(folder):
        shutil.rmtree(folder)


def remember(request: dict[str, Any], root: str, record: dict[str, Any]) -> None:
    """Note for this machine which environment answers the request, and the files that must stay as they are for it."""
    files = [record["interpreter"]] + ([record["torch_file"]] if request["mode"] == "reuse" else [])
    stamps = [f"{info.st_size} {int(info.st_mtime)} {path}\n" for path in files for info in [os.stat(path)]]
    folder = os.path.join(root, "hosts", request["machine"], "environments")
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, request["key"]), record["environment"] + "\n" + "".join(stamps))


def write(path: str, text: str) -> None:
    """Replace a file so that a reader sees all of it or none, also after a power cut."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def flush(folder: str) -> None:
    """Bring a folder's file system to the disk, and that one alone: another may be a network disk that hangs."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        ctypes.CDLL(None, use_errno=True).syncfs(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: str) -> dict[str, Any] | None:
    """The JSON object in a file, None if there is none or it is not whole."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
