"""The state of a run whose `state.json` is torn or gone, pieced together from everything else that the run has written.

It exists because a run must be stopped and resumed whatever became of one small file, and because an attempt's number
is never used again: metrics, events and checkpoints are told apart by it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from typing import Any, Iterator

from fleet.remote.atomic import read_json
from fleet.remote.events import backwards
from fleet.remote.figures import last_step
from fleet.remote.identity import machine_id
from fleet.remote.places import RunFiles
from fleet.remote.refusal import Refusal
from fleet.remote.segments import attempts_in
from fleet.remote.states import SCHEMA, StateFile, read_state

#: Events and metrics that are looked at for one that names its attempt.
_ROWS = 64
_HIGHEST = 1 << 31


def damage(files: RunFiles) -> str:
    """What is wrong with `state.json`, to follow its name; empty if it is a state, or one of another version."""
    try:
        with open(files.state, "rb") as file:
            text = file.read()
        value = json.loads(text.decode("utf-8"))
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError):
        return "is no JSON" if text.strip() else "is empty"
    if not isinstance(value, dict):
        return "is no JSON object"
    if value.get("schema", SCHEMA) != SCHEMA or read_state(files.state) is not None:
        return ""
    return "does not say run, attempt and state"


def began(files: RunFiles) -> bool:
    """Whether this is the directory of a run whose supervisor got as far as writing a log."""
    return read_json(files.launch) is not None and (attempts_in(files.log) > 0 or os.path.exists(files.state))


def is_run(files: RunFiles) -> bool:
    """Whether anything says that this is the directory of a run."""
    return any(os.path.exists(path) for path in (files.launch, files.record, files.state, files.log))


def of_another_machine(files: RunFiles) -> bool:
    """Whether a run without a state was started on another machine that shares this folder."""
    hardware = (read_json(files.record) or {}).get("hardware")
    machine = hardware.get("machine") if isinstance(hardware, dict) else None
    return isinstance(machine, str) and machine != machine_id()


def refuse_another_version(files: RunFiles) -> None:
    """Raise Refusal for a state that is whole and means nothing to this version."""
    if read_state(files.state) is None and not damage(files):
        schema = (read_json(files.state) or {}).get("schema")
        raise Refusal(
            "remote",
            f"state.json of run {files.run} was written by another version of fleet: schema {schema!r}, not {SCHEMA}",
            why="what it says would be lost if this version wrote over it",
            fix="use the version that started the run",
            example="fleet --version",
        )


def newest_attempt(files: RunFiles) -> tuple[int, str]:
    """The newest attempt that anything tells of, and which file does; at least 1."""
    resumed = (read_json(files.record) or {}).get("resumed")
    rows = [row for row in resumed if isinstance(row, dict)] if isinstance(resumed, list) else []
    witnesses = [
        ("launch.json", [read_json(files.launch) or {}]),
        ("run.json", rows),
        ("events.jsonl", list(itertools.islice(backwards(files.events), _ROWS))),
        ("metrics.jsonl", list(itertools.islice(backwards(files.file("metrics.jsonl")), _ROWS))),
        ("progress.json", [read_json(files.file("progress.json")) or {}]),
        ("lock", [read_json(files.lock) or {}]),
    ]
    told = [(_number(row.get("attempt")), name) for name, found in witnesses for row in found]
    told += [(attempts_in(files.log), "log"), (1, "the run itself")]
    return max(told, key=lambda one: one[0])


def pieced_together(files: RunFiles, attempt: int) -> dict[str, Any]:
    """All fields of a state that can be known without it, as of a run that still lives."""
    told = read_json(files.launch) or {}
    group = told.get("group")
    group = group if isinstance(group, dict) else {}
    nodes, gpus, release = group.get("nodes"), told.get("gpus"), told.get("release_path")
    fields: dict[str, Any] = {
        "run": files.run,
        "attempt": attempt,
        "state": "running",
        "node_rank": _number(group.get("node_rank")),
        "node_count": len(nodes) if isinstance(nodes, list) and nodes else 1,
        "release": os.path.basename(release) if isinstance(release, str) else None,
        "environment": _text(told.get("environment")),
        "last_step": last_step(files, attempt),
    }
    if isinstance(gpus, list):
        fields["gpus"] = [gpu["uuid"] for gpu in gpus if isinstance(gpu, dict) and isinstance(gpu.get("uuid"), str)]
    return StateFile(files.state, fields).fields


def kept_names(files: RunFiles) -> list[str]:
    """Torn states that were set aside, oldest first."""
    return list(itertools.takewhile(lambda name: os.path.lexists(files.file(name)), _names()))


def set_torn_aside(files: RunFiles) -> None:
    """Keep a torn state, if there is one, under a name that was not used yet. For the holder of the supervisor's lock.

    Raises OSError.
    """
    name = next(itertools.islice(_names(), len(kept_names(files)), None))
    with contextlib.suppress(FileNotFoundError):
        os.rename(files.state, files.file(name))


def _names() -> Iterator[str]:
    return map("state.torn-{}.json".format, itertools.count(1))


def _number(value: Any) -> int:
    """A number that an attempt or a rank can have; 0 for anything else."""
    return value if type(value) is int and 0 <= value < _HIGHEST else 0


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
