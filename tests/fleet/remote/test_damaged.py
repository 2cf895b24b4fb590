"""Runs whose `state.json` is torn: told as they are, stopped and resumed by what else the run has written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fleet.remote.places import RunFiles
from fleet.remote.salvage import damage, newest_attempt
from fleet.remote.segments import Segments
from hydra.runs import machine_id
from tests.fleet.remote.hosts import Host

#: What a disk, an editor or an operator leaves of a state, and how that is told.
TORN = {
    "empty": ("", "state.json is empty"),
    "half": ('{"run": "run-a", "att', "state.json is no JSON"),
    "list": ("[]", "state.json is no JSON object"),
    "without-state": ('{"schema": 1, "run": "run-a", "attempt": 7}', "state.json does not say run, attempt and state"),
}


def tear(host: Host, run: str, text: str = "{") -> Path:
    """Damage a state."""
    path = host.directory(run).state
    path.write_text(text)
    return path


def killed_in_attempt_2(host: Host) -> None:
    """A run whose supervisor was killed in its second attempt, after it had saved."""
    host.start("run-a", "trainer.py", "--every", "2")
    host.wait_step("run-a", 2)
    host.stop("run-a")
    host.start("run-a", "trainer.py", "--every", "2", resume=True, attempt=2)
    step = json.loads(host.directory("run-a").progress.read_text())["step"]
    host.wait_step("run-a", step + 3)
    host.kill_supervisor("run-a")


@pytest.mark.parametrize("how", TORN)
def test_what_is_wrong_is_told(tmp_path: Path, how: str) -> None:
    text, told = TORN[how]
    (tmp_path / "state.json").write_text(text)
    assert f"state.json {damage(RunFiles(str(tmp_path)))}" == told


def test_a_stop_says_what_it_found_and_ends_the_run(host: Host) -> None:
    host.start("run-a", "deaf.py")
    host.kill_supervisor("run-a")
    path = tear(host, "run-a")
    assert host.processes("run-a")
    answer = host.stop("run-a")
    assert answer["state"] == "lost" and answer["survivors"] == [] and not host.processes("run-a")
    assert answer["checkpoint"] == {"step": 5, "verified": True, "quick": False}
    assert answer["steps_lost"] == 2 and not answer["proven"]
    notes = "\n".join(answer["notes"])
    assert "state.json is no JSON" in notes and "kept as state.torn-1.json" in notes
    assert "no supervisor lives; " in notes and "its lock was free; " in notes and "were left and killed" in notes
    assert path.with_name("state.torn-1.json").read_text() == "{"
    state = host.state("run-a")
    assert (state.state, state.attempt, state.last_step, state.release) == ("lost", 1, 7, "r1")
    [again] = host.stop("run-a")["notes"]
    assert "no supervisor lives" in again and "no process of it was left" in again


def test_a_living_supervisor_is_asked_and_writes_its_state_anew(host: Host) -> None:
    host.start("run-a")
    host.wait_step("run-a", 3)
    tear(host, "run-a")
    row = host.row("run-a")
    assert row["live"] and row["state"] is None and row["reason"] == "its state cannot be read"
    pid = host.supervisor("run-a").pid
    answer = host.stop("run-a")
    assert answer["state"] == "stopped" and answer["proven"] and host.state("run-a").state == "stopped"
    notes = "\n".join(answer["notes"])
    assert "state.json is no JSON" in notes and f"its supervisor, process {pid}, lived and was asked" in notes


def test_a_resume_never_uses_an_attempt_again(host: Host) -> None:
    killed_in_attempt_2(host)
    tear(host, "run-a")
    row = host.row("run-a")
    assert (row["state"], row["attempt"]) == ("lost", 2)
    assert row["reason"] == "state.json was no JSON, and no supervisor lives"
    # As somebody asks who knows nothing of attempt 2.
    tear(host, "run-a")
    answer = host.start("run-a", resume=True, attempt=1)
    assert answer["attempt"] == 3
    host.stop("run-a")
    names = [path.name for path in host.directory("run-a").path.glob("state.torn-*")]
    assert sorted(names) == ["state.torn-1.json", "state.torn-2.json"]


def test_any_one_witness_knows_the_attempt(host: Host, tmp_path: Path) -> None:
    killed_in_attempt_2(host)
    host.stop("run-a")
    (host.directory("run-a").path / "run.json").write_text(json.dumps({"resumed": [{"attempt": 2}]}))
    witnesses = ["launch.json", "events.jsonl", "progress.json", "metrics.jsonl", "log", "run.json", "lock"]
    for kept in ("launch.json", "events.jsonl", "progress.json", "log", "run.json"):
        folder = shutil.copytree(host.directory("run-a").path, tmp_path / f"only-{kept}")
        for path in [folder / name for name in witnesses if name != kept and (folder / name).exists()]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert newest_attempt(RunFiles(str(folder))) == (2, kept)


def test_a_state_that_is_gone_is_pieced_together_as_well(host: Host) -> None:
    killed_in_attempt_2(host)
    host.directory("run-a").state.unlink()
    assert host.start("run-a", resume=True, attempt=1)["attempt"] == 3
    host.stop("run-a")


def test_a_stop_of_what_never_began(host: Host) -> None:
    """Its supervisor died before the first state, so there is a launch and nothing else."""
    host.start("run-a")
    host.stop("run-a")
    folder = host.directory("run-a").path
    for path in folder.iterdir():
        if path.name not in ("launch.json", "supervisor.lock", "control"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    answer = host.stop("run-a")
    assert answer["state"] == "lost" and answer["proven"] and answer["steps_lost"] == 0
    assert "state.json is gone" in answer["notes"][0]
    status, refused = host.ask("stop", run="run-b")
    assert status == 1 and refused["error"]["kind"] == "not-found"
    (host.deploy_dir / "runs" / "stray").mkdir()
    status, refused = host.ask("stop", run="stray")
    assert status == 1 and refused["error"]["kind"] == "not-found"
    assert list((host.deploy_dir / "runs" / "stray").iterdir()) == []


def test_a_state_of_a_later_schema_is_left_alone(host: Host) -> None:
    host.start("run-a")
    host.stop("run-a")
    path = tear(host, "run-a", '{"schema": 2, "run": "run-a", "where": "in its life"}')
    before = path.read_bytes()
    assert host.row("run-a")["state"] is None
    status, answer = host.ask("stop", run="run-a")
    assert status == 1 and "another version" in answer["error"]["what"]
    status, answer = host.ask("start", **host.launch("run-a", resume=True, attempt=2))
    assert status == 1 and "another version" in answer["error"]["what"]
    assert path.read_bytes() == before


def test_a_torn_state_of_another_machine_is_left_alone(host: Host) -> None:
    host.start("run-a", record={"hardware": {"machine": "0" * 16}})
    host.kill_supervisor("run-a")
    host.stop("run-a")
    path = tear(host, "run-a")
    assert machine_id() != "0" * 16
    assert host.row("run-a")["state"] is None
    assert host.ask("stop", run="run-a")[1]["error"]["kind"] == "stop-incomplete"
    assert host.ask("start", **host.launch("run-a", resume=True, attempt=2))[0] == 75
    assert path.read_text() == "{"


def test_an_end_of_the_attempt_before_is_not_believed(host: Host) -> None:
    """A supervisor that dies at the beginning of a resume leaves an empty segment behind the old end."""
    host.start("run-a", "trainer.py", "--steps", "3")
    host.wait_state("run-a", "completed")
    files = RunFiles(str(host.directory("run-a").path))
    Segments(files.log).close()
    tear(host, "run-a")
    assert (host.row("run-a")["state"], host.row("run-a")["attempt"]) == ("lost", 2)
