from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydra.runs import EventWriter, JsonReader, RunWriteError, final_record, lines, read_events, resume_steps
from hydra.runs.events import EVENT_KINDS, last_seq


def test_numbers_go_on_over_attempts(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventWriter(path, attempt=1, clock=lambda: 7.0) as events:
        first = events.append("run.started", data={"steps": 10})
        events.append("guard.nonfinite", level="warning", step=3, data={"loss": float("nan")})
    with path.open("ab") as file:
        file.write(b'{"seq": 3, "ti')
    with EventWriter(path, attempt=2, rank=4) as events:
        events.append("run.resumed", step=2, data={"step": 2})
    log = read_events(path)
    assert [(e.seq, e.attempt, e.rank, e.kind) for e in log.events] == [
        (1, 1, 0, "run.started"),
        (2, 1, 0, "guard.nonfinite"),
        (3, 2, 4, "run.resumed"),
    ]
    assert log.events[0] == first
    assert first.time == 7.0
    assert str(log.events[1].data["loss"]) == "nan"
    assert log.skipped == 1
    assert resume_steps(log.events) == {1: 0, 2: 2}


def test_the_fields_of_the_specification(tmp_path: Path) -> None:
    with EventWriter(tmp_path / "e", attempt=1) as events:
        events.append("data.built")
    (row,) = JsonReader(tmp_path / "e").drain()
    assert set(row) == {"seq", "time", "attempt", "step", "kind", "level", "rank", "data"}


def test_kinds_are_a_closed_list_when_writing_and_open_when_reading(tmp_path: Path) -> None:
    path = tmp_path / "e"
    with EventWriter(path, attempt=1) as events, pytest.raises(AssertionError, match="unknown kind"):
        events.append("run.exploded")  # type: ignore[arg-type]  # the point of the test
    path.write_text(
        '{"seq":1,"time":1,"attempt":1,"step":null,"kind":"health.failure","level":"error","rank":0,"data":{}}\n'
        '{"seq":"2","time":1,"attempt":1,"step":null,"kind":"x","level":"error","rank":0,"data":{}}\n'
    )
    log = read_events(path)
    assert [event.kind for event in log.events] == ["health.failure"]
    assert log.skipped == 1
    assert len(EVENT_KINDS) == 28


def test_the_final_record_is_the_last_event_of_the_last_attempt(tmp_path: Path) -> None:
    path = tmp_path / "e"
    assert final_record(read_events(path).events) is None
    with EventWriter(path, attempt=1) as events:
        events.append("run.started")
        assert final_record(read_events(path).events) is None
        events.append("run.stopped", step=5, data={"saved": 5})
        with pytest.raises(AssertionError, match="after the final record"):
            events.append("checkpoint.saved")
    record = final_record(read_events(path).events)
    assert record is not None
    assert record.data == {"saved": 5}
    with EventWriter(path, attempt=2) as events:
        events.append("run.resumed", data={"step": 5})
    assert final_record(read_events(path).events) is None


def test_what_explains_a_run_is_on_the_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = EventWriter(tmp_path / "e", attempt=1)
    synced: list[int] = []
    monkeypatch.setattr(lines.os, "fsync", synced.append)
    events.append("eval.summary")
    assert not synced
    for kind in ("run.started", "checkpoint.saved"):
        events.append(kind)  # type: ignore[arg-type]  # mypy does not narrow a tuple of literals
    assert len(synced) == 2


def test_the_number_of_an_event_that_failed_is_not_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "e"
    original = os.write

    def all_but_the_newline(descriptor: int, data: bytes) -> int:
        return original(descriptor, data[:-1])

    with EventWriter(path, attempt=1) as events:
        events.append("run.started")
        with monkeypatch.context() as patch:
            patch.setattr(lines.os, "write", all_but_the_newline)
            with pytest.raises(RunWriteError):
                events.append("eval.summary")
        events.append("data.built")
    assert [event.seq for event in read_events(path).events] == [1, 2, 3]


def test_the_last_number_is_found_behind_any_amount_of_garbage(tmp_path: Path) -> None:
    path = tmp_path / "e"
    assert last_seq(path) == 0
    path.write_bytes(b'{"seq":41}\n{"seq":42}\n' + b"garbage\n" * 1000)
    assert last_seq(path) == 42
    path.write_bytes(b"garbage\n" * 1000)
    assert last_seq(path) == 0
