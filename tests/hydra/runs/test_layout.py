from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hydra.errors import RunError
from hydra.runs import EventWriter, RunDirectory, RunId, RunWriteError, identifier
from hydra.runs.search import started_at

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def test_the_files_of_the_specification(run: RunDirectory) -> None:
    relative = {
        str(path.relative_to(run.path))
        for path in (
            run.manifest, run.earlier_manifest(2), run.manifest_source, run.environment, run.capabilities, run.state,
            run.progress, run.metrics, run.events, run.samples, run.train_log, run.rank_log(3), run.checkpoint(1200),
            run.tokenizer, run.profiles, run.flight, run.guard_report(7), run.crash_report(0), run.control, run.lock,
        )
    }  # fmt: skip
    assert relative == {
        "manifest.yaml", "manifest.2.yaml", "manifest.source.yaml", "environment.json", "capabilities.json",
        "state.json", "progress.json", "metrics.jsonl", "events.jsonl", "samples.jsonl", "train.log", "log/rank-3.log",
        "checkpoints/step-1200", "tokenizer", "profiles", "flight", "guard/step-7.json", "crash/rank-0.json",
        "control", "lock",
    }  # fmt: skip


def test_create_makes_the_folders_that_emergencies_need(run: RunDirectory) -> None:
    assert RunId.parse(run.id) is not None
    for folder in (
        run.checkpoints,
        run.rank_log(0).parent,
        run.guard,
        run.crash,
        run.control,
        run.profiles,
        run.flight,
    ):
        assert folder.is_dir()
    assert not run.tokenizer.exists()


def test_a_taken_id_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_drawn = iter([b"\0\0\0\0", b"\0\0\0\0", b"\1\1\1\1"])
    monkeypatch.setattr(identifier.os, "urandom", lambda count: next(bytes_drawn))
    ids = [RunDirectory.create(tmp_path, "a", NOON).id for _ in range(2)]
    assert ids == ["a-20260131-120000-aaaa", "a-20260131-120000-bbbb"]


def test_many_creators_in_one_second_never_share(tmp_path: Path) -> None:
    made: list[RunDirectory] = []
    threads = [
        threading.Thread(target=lambda: made.extend(RunDirectory.create(tmp_path, "a", NOON) for _ in range(10)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.path for run in made}) == 40


def test_create_where_nothing_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunWriteError, match="cannot write"):
        RunDirectory.create(tmp_path / "runs", "a")


def test_open_takes_runs_only(run: RunDirectory, tmp_path: Path) -> None:
    assert RunDirectory.open(run.path) == run
    with pytest.raises(RunError, match="not a run directory"):
        RunDirectory.open(tmp_path)
    with pytest.raises(RunError, match="not a run directory"):
        RunDirectory.open(tmp_path / "absent")


def test_adopt_takes_the_directory_that_a_launcher_chose(tmp_path: Path) -> None:
    run = RunDirectory.adopt(tmp_path / "chosen")
    assert run.id == "chosen"
    assert run.control.is_dir()
    assert RunDirectory.adopt(tmp_path / "chosen") == run


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "runs"
    old = RunDirectory.create(root, "zeta", NOON)
    new = RunDirectory.create(root, "alpha", NOON + timedelta(hours=1))
    (root / "README.md").write_text("not a run")
    (root / "notes").mkdir()
    assert RunDirectory.find(root, "latest") == new
    assert RunDirectory.find(root, old.id) == old
    assert RunDirectory.find(root, "zet") == old
    assert RunDirectory.find(root, str(old.path)) == old
    assert RunDirectory.find(root, f"{old.path}/") == old
    monkeypatch.chdir(root)
    assert RunDirectory.find(Path("."), new.id) == new


def test_an_id_that_begins_another_is_still_found(tmp_path: Path) -> None:
    for name in ("a-20260131-120000-aaaa", "a-20260131-120000-aaaa-20260131-120000-aaaa"):
        (tmp_path / name).mkdir()
    assert RunDirectory.find(tmp_path, "a-20260131-120000-aaaa").id == "a-20260131-120000-aaaa"


def test_find_names_what_is_close(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "small-lm", NOON)
    with pytest.raises(RunError) as caught:
        RunDirectory.find(tmp_path, run.id.replace("small", "smell"))
    assert run.id in caught.value.fix
    with pytest.raises(RunError) as caught:
        RunDirectory.find(tmp_path, "")
    assert run.id in caught.value.fix
    with pytest.raises(RunError) as caught:
        RunDirectory.find(tmp_path, f"elsewhere/{run.id}")
    assert run.id in caught.value.fix


def test_find_lists_the_runs_that_a_short_prefix_could_mean(tmp_path: Path) -> None:
    runs = [RunDirectory.create(tmp_path, f"lm-{number}", NOON) for number in range(7)]
    with pytest.raises(RunError, match="any of 7 runs") as caught:
        RunDirectory.find(tmp_path, "lm")
    assert "and 2 more" in caught.value.why
    assert RunDirectory.find(tmp_path, "lm-3") == runs[3]


@pytest.mark.parametrize("folder", ["empty", "absent"])
def test_latest_of_nothing(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="no run 'latest'"):
        RunDirectory.find(tmp_path / folder, "latest")


def test_within_one_second_the_first_event_decides_what_is_latest(tmp_path: Path) -> None:
    runs = [RunDirectory.create(tmp_path, name, NOON) for name in ("z", "a")]
    for run, moment in zip(runs, (0.2, 0.7), strict=True):
        with EventWriter(run.events, 1, clock=lambda moment=moment: NOON.timestamp() + moment) as events:
            events.append("run.started")
    assert RunDirectory.find(tmp_path, "latest") == runs[1]
    silent = RunDirectory.create(tmp_path, "b", NOON)
    assert RunDirectory.find(tmp_path, "latest") == silent


def test_a_directory_with_another_name_starts_with_its_first_event(tmp_path: Path) -> None:
    run = RunDirectory.adopt(tmp_path / "chosen")
    run.manifest.write_text("{}")
    run.events.write_text(json.dumps({"time": 1234.5}) + "\n")
    assert started_at(run.path) == 1234.5
    run.events.write_text("\xff not json\n")
    assert started_at(run.path) == run.path.stat().st_mtime
