"""The agent's command `listing`: the files of a run with size, time and SHA-256, for a download that can prove itself.

Files are listed as they are at this moment: of one that grows, the present size counts, and the digest is of exactly
those bytes. Small files that are replaced while a run lives travel inside the answer, since no later reading of them
would give the same bytes.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterator, Sequence

from fleet.remote import selection
from fleet.remote.fields import Fields
from fleet.remote.places import DeployDir
from fleet.remote.refusal import Refusal, answered
from fleet.remote.selection import COMPLETE, POINTERS, Checkpoint, Torn

Answer = Dict[str, Any]
#: Locks, requests and space set aside mean nothing elsewhere; byte code is made again.
LEFT_OUT = ("lock", "supervisor.lock", ".reserve", "control", "__pycache__", "pycache")
#: What an interrupted write leaves.
_LEFTOVER = re.compile(r"\..*\.tmp")
#: Replaced as a whole while the run lives.
REPLACED = ("state.json", "progress.json", "checkpoints/latest", "checkpoints/best")
INLINE_LIMIT = 64 << 10
#: Few, because the processor belongs to the training that may be running.
THREADS = 4
_BLOCK = 1 << 20
_WANTED = re.compile(r"latest|best|all|none|[0-9]{1,18}")
#: Length of the time and the random end of a run id, by which ids are ordered.
_STAMP = len("20260131-235959-k3qz")
#: Runs that a refusal names.
SHOWN = 20
_HOSTILE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\\\\]")


def main(request: Answer) -> tuple[Answer, int]:
    """List a run: `{"deploy_dir", "run", "include": [glob], "exclude": [glob], "checkpoint"}`.

    The answer holds `run`, `root` (absolute), `steps` (of the chosen checkpoints), `files` of `{path, size, mtime,
    sha256, content?}` ordered by path, and `skipped` of `{path, why}`.
    """
    return answered(_list, request)


def _list(request: Answer) -> Answer:
    fields = Fields(request, "listing")
    root = _run_directory(DeployDir.at(fields.text("deploy_dir")), fields.text("run"))
    wanted = fields.text("checkpoint", _WANTED, "latest")
    take = _Filter(fields.words("include", ()), fields.words("exclude", ()))
    fields.finish()
    chosen, skipped = _chosen(root, wanted)
    held = [*_walk(root, "", skipped), *_beside(root, chosen)]
    take.check(root, [*held, *(file.path for item in chosen for file in item.files)])
    plain = [path for path in held if take(path)]
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        measured = list(pool.map(lambda path: _measured(root, path), plain))
    files = [entry for entry in measured if "why" not in entry]
    skipped += [entry for entry in measured if "why" in entry]
    for file in (file for item in chosen for file in item.files if take(file.path)):
        mtime = os.lstat(os.path.join(root, file.path)).st_mtime
        files.append({"path": file.path, "size": file.size, "mtime": mtime, "sha256": file.sha256})
    files.sort(key=lambda entry: str(entry["path"]))
    steps = [item.step for item in chosen]
    return {"run": os.path.basename(root), "root": root, "steps": steps, "files": files, "skipped": skipped}


def _run_directory(home: DeployDir, run: str) -> str:
    """The run's directory. Raises Refusal that names the runs that are there, newest first."""
    path = home.run(run).path
    if os.path.isdir(path):
        return path
    known = sorted((files.run for files in home.runs()), key=lambda name: name[-_STAMP:], reverse=True)
    shown = ", ".join(known[:SHOWN]) or "none"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    raise Refusal(
        "not-found",
        f"there is no run {run} in {home.path}/runs",
        why=f"the runs there are: {shown}{more}",
        fix="name one of them in full",
        example=f"fleet download lab-a --run {known[0] if known else 'small-lm-20260131-235959-k3qz'}",
    )


def _chosen(root: str, wanted: str) -> tuple[list[Checkpoint], list[Answer]]:
    """The checkpoints that a word or step means. A torn one is passed over by `all` alone, and said."""
    if wanted == "none":
        return [], []
    if wanted == "all":
        found: list[Checkpoint] = []
        skipped: list[Answer] = []
        for step in selection.steps(root):
            try:
                found.append(_verified(root, step))
            except Torn as torn:
                skipped.append({"path": f"checkpoints/step-{step}", "why": str(torn)})
        return found, skipped
    chosen = selection.newest(root, wanted) if wanted in POINTERS else _step(wanted)
    if chosen is None and wanted == "latest":
        return [], []
    have = selection.steps(root)
    if chosen is None or chosen not in have:
        known = ", ".join(map(str, have)) or "none"
        raise Refusal(
            "not-found",
            f"this run has no checkpoint {wanted!r}",
            why=f"its checkpoints are of steps: {known}",
            fix="choose one of them, `latest`, `all` or `none`",
            example=f"fleet download lab-a --run {os.path.basename(root)} --checkpoint latest",
        )
    try:
        return [_verified(root, chosen)], []
    except Torn as torn:
        raise Refusal(
            "unverified",
            f"checkpoint step {chosen} did not verify: {torn}",
            why="its files are not the ones that were written",
            fix="choose another step; the damaged one stays where it is",
            example=f"fleet download lab-a --run {os.path.basename(root)} --checkpoint all",
        ) from torn


def _step(wanted: str) -> int | None:
    return int(wanted) if re.fullmatch(r"[0-9]{1,18}", wanted) else None


def _verified(root: str, step: int) -> Checkpoint:
    checkpoint = selection.read(root, step)
    selection.check_sizes(root, checkpoint)
    return checkpoint


def _beside(root: str, chosen: list[Checkpoint]) -> list[str]:
    """What no digest covers: each COMPLETE.json, and the pointers whose checkpoint travels too."""
    steps = {item.step for item in chosen}
    proofs = [f"checkpoints/step-{step}/{COMPLETE}" for step in sorted(steps)]
    return proofs + [f"checkpoints/{name}" for name in POINTERS if selection.named(root, name) in steps]


def _walk(root: str, below: str, skipped: list[Answer]) -> Iterator[str]:
    """Paths of the regular files under the run directory, without checkpoints; links are never followed."""
    for entry in sorted(os.scandir(os.path.join(root, below)), key=lambda entry: entry.name):
        path = os.path.join(below, entry.name)
        if entry.name in LEFT_OUT or path == "checkpoints" or _LEFTOVER.fullmatch(entry.name):
            continue
        if _HOSTILE.search(entry.name):
            skipped.append({"path": ascii(path), "why": "its name holds characters that no file name should"})
        elif entry.is_symlink() or not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
            skipped.append({"path": path, "why": "it is a link or a device, not a file"})
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(root, path, skipped)
        else:
            yield path


class _Filter:
    """Globs over relative paths; one without a slash also fits any file or folder name on the way."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include, self._exclude = include, exclude

    def __call__(self, path: str) -> bool:
        kept = not self._include or any(_fits(path, glob) for glob in self._include)
        return kept and not any(_fits(path, glob) for glob in self._exclude)

    def check(self, root: str, paths: Sequence[str]) -> None:
        """Refuse globs to include that fit no file at all, and globs that together leave none of some."""
        idle = [glob for glob in self._include if not any(_fits(path, glob) for path in paths)]
        if not idle and (not paths or any(map(self, paths))):
            return
        named = ", ".join(idle) if idle else "what is excluded"
        tops = sorted({path.partition("/")[0] + ("/" if "/" in path else "") for path in paths})
        more = f" and {len(tops) - SHOWN} more" if len(tops) > SHOWN else ""
        raise Refusal(
            "not-found",
            f"no file of {os.path.basename(root)} fits {named}" if idle else f"{named} leaves no file",
            why=f"without patterns there are: {', '.join(tops[:SHOWN]) or 'no files'}{more}",
            fix="choose by paths or names that are there; files of checkpoints need --checkpoint",
            example=f"fleet download lab-a --run {os.path.basename(root)} --include 'metrics.*' --include 'log/*'",
        )


def _fits(path: str, glob: str) -> bool:
    glob = glob.rstrip("/")
    parts = path.split("/")
    heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    names = [] if "/" in glob else parts
    return any(fnmatch.fnmatchcase(text, glob) for text in heads + names)


def _measured(root: str, path: str) -> Answer:
    """Size, time and digest of a file as it is now, or why there is none."""
    try:
        descriptor = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return {"path": path, "why": error.strerror}
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return {"path": path, "why": "it is not a file"}
        entry: Answer = {"path": path, "size": status.st_size, "mtime": status.st_mtime}
        if path in REPLACED and status.st_size <= INLINE_LIMIT:
            content = file.read(INLINE_LIMIT)
            entry["size"], entry["content"] = len(content), base64.b64encode(content).decode("ascii")
            digest = hashlib.sha256(content)
        else:
            digest, left = hashlib.sha256(), status.st_size
            while left:
                block = file.read(min(_BLOCK, left))
                if not block:
                    return {"path": path, "why": "it became shorter while it was read"}
                digest.update(block)
                left -= len(block)
    entry["sha256"] = digest.hexdigest()
    return entry
