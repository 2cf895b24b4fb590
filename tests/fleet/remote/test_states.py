"""Every state that a supervisor writes is one that hydra reads, and both see the same run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import get_args

import pytest

from fleet.remote import states
from fleet.remote.places import RunFiles
from fleet.remote.states import LIVE, TERMINAL, StateFile, culprit_field, exit_field, read_state
from hydra.runs import LIVE as HYDRA_LIVE
from hydra.runs import TERMINAL as HYDRA_TERMINAL
from hydra.runs import LifeCycle, RunDirectory, State, boot_id, machine_id
from hydra.runs import read_state as hydra_read_state

EXITS = [
    exit_field(0),
    exit_field(kind="SIGKILL", signal=9, retry=True),
    exit_field(5, kind="gpu", culprit=culprit_field(3, node=1, exception="DeviceMemoryError", message="full")),
]


def state_file(folder: Path, **fields: object) -> StateFile:
    return StateFile(str(folder / "state.json"), {"run": "run-a", "attempt": 1, **fields})


def test_the_names_are_those_of_hydra() -> None:
    assert (LIVE, TERMINAL) == (HYDRA_LIVE, HYDRA_TERMINAL)
    assert frozenset(get_args(LifeCycle)) == LIVE | TERMINAL


@pytest.mark.parametrize(("state", "exit"), [*itertools.product(sorted(LIVE | TERMINAL), EXITS)])
def test_hydra_reads_every_state(tmp_path: Path, state: str, exit: dict) -> None:
    file = state_file(
        tmp_path, supervisor={"pid": 1, "start": 2}, gpus=["GPU-1"], release="r", environment="e", node_count=2
    )
    file.enter(state, exit=exit, leader={"pid": 3, "start": 4}, last_verified_checkpoint={"step": 7, "quick": True})
    found = hydra_read_state(tmp_path / "state.json")
    assert found is not None and found.state == state
    assert (found.machine_id, found.boot_id) == (machine_id(), boot_id())
    assert found.exit is not None and found.exit.to_json() == exit
    again = read_state(str(tmp_path / "state.json"))
    assert again is not None and set(again) == {*State.model_fields} - {"schema_version"} | {"schema"}


def test_a_state_without_anything_known_is_whole(tmp_path: Path) -> None:
    state_file(tmp_path).enter("starting")
    assert hydra_read_state(tmp_path / "state.json") is not None


def test_files_have_the_names_that_hydra_gives_them(tmp_path: Path) -> None:
    ours, theirs = RunFiles(str(tmp_path)), RunDirectory(tmp_path)
    pairs = [
        (ours.state, theirs.state),
        (ours.events, theirs.events),
        (ours.lock, theirs.lock),
        (ours.supervisor_lock, theirs.supervisor_lock),
        (ours.checkpoints, theirs.checkpoints),
        (ours.log, theirs.rank_log(0).parent),
        (ours.file("progress.json"), theirs.progress),
        (ours.file("metrics.jsonl"), theirs.metrics),
        (ours.file("manifest.yaml"), theirs.manifest),
        (ours.file("crash", "rank-3.json"), theirs.crash_report(3)),
        (ours.file("control"), theirs.control),
    ]
    assert [mine for mine, _ in pairs] == [str(path) for _, path in pairs]
    ours.create()
    made = {path.name for path in tmp_path.iterdir()}
    RunDirectory.adopt(tmp_path / "adopted")
    assert made == {path.name for path in (tmp_path / "adopted").iterdir()}


def test_a_disk_that_refuses_keeps_the_newest_state_for_later(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    file = state_file(folder)
    file.enter("running")
    assert file.problem is not None
    file.enter("stopping")
    assert not file.retry()
    folder.mkdir()
    assert file.retry() and file.problem is None
    assert json.loads((folder / "state.json").read_text())["state"] == "stopping"


def test_the_reserve_is_given_up_for_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: the first write fails, the reserve goes, the second succeeds."""
    file = state_file(tmp_path)
    file.set_aside()
    reserve = tmp_path / ".reserve"
    assert reserve.stat().st_size == states.RESERVE_BYTES
    write = states.write_json

    def full_until_the_reserve_is_gone(path: str, value: object) -> None:
        if reserve.exists():
            raise OSError(28, "No space left on device", path)
        write(path, value)

    monkeypatch.setattr(states, "write_json", full_until_the_reserve_is_gone)
    file.enter("stopping")
    assert file.problem is not None and reserve.exists(), "it is kept for the end"
    file.enter("failed", exit=EXITS[0])
    assert file.problem is None and not reserve.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"run": "a", "attempt": 1}', '{"run": 1, "attempt": 1, "state": "lost"}']
)
def test_what_is_no_state_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert read_state(str(tmp_path / "state.json")) is None
