from __future__ import annotations

from hydra.runs import EventWriter, RunDirectory, StateFile, last_attempt, write_manifest


def test_every_trace_counts(run: RunDirectory) -> None:
    assert last_attempt(run) == 0
    write_manifest(run, "one", attempt=1)
    assert last_attempt(run) == 1
    StateFile(run.state, run.id, 2)
    assert last_attempt(run) == 2
    with EventWriter(run.events, attempt=3) as events:
        events.append("run.resumed", data={"step": 1})
    assert last_attempt(run) == 3


def test_earlier_manifests_stay(run: RunDirectory) -> None:
    for attempt, text in enumerate(("one", "two", "three"), start=1):
        assert last_attempt(run) == attempt - 1
        write_manifest(run, text, attempt=attempt)
    assert run.manifest.read_text() == "three"
    assert run.earlier_manifest(1).read_text() == "one"
    assert run.earlier_manifest(2).read_text() == "two"
    assert not run.earlier_manifest(3).exists()


def test_an_attempt_killed_at_its_start_can_be_repeated(run: RunDirectory) -> None:
    write_manifest(run, "one", attempt=1)
    write_manifest(run, "two", attempt=2)
    write_manifest(run, "two again", attempt=2)
    assert run.earlier_manifest(1).read_text() == "one"
    assert run.manifest.read_text() == "two again"


def test_killed_between_keeping_and_writing(run: RunDirectory) -> None:
    write_manifest(run, "one", attempt=1)
    run.earlier_manifest(1).write_text("one")
    assert last_attempt(run) == 2
    write_manifest(run, "three", attempt=3)
    assert run.manifest.read_text() == "three"
