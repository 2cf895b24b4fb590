from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from hydra.errors import RunError
from hydra.runs import ControlPoller, Rejected, RunDirectory, RunLock, RunWriteError, request


@pytest.fixture
def poller(run: RunDirectory) -> Iterator[ControlPoller]:
    with RunLock.acquire(run.lock, attempt=1):
        yield ControlPoller(run)


def files(run: RunDirectory) -> list[str]:
    return sorted(path.name for path in run.control.iterdir())


def test_each_request_is_taken_once_in_order_of_making(run: RunDirectory, poller: ControlPoller) -> None:
    assert poller.pending() == []
    request(run, "stop")
    request(run, "profile", steps=3)
    found = poller.pending()
    assert [(made.kind, made.data) for made in found] == [("stop", {}), ("profile", {"steps": 3})]
    assert found[0].time <= found[1].time <= time.time()
    assert poller.pending() == []
    assert files(run) == ["profile.seen.json", "stop.seen.json"]
    request(run, "profile", steps=1)
    assert [made.data for made in poller.pending()] == [{"steps": 1}]


def test_a_second_request_of_a_kind_replaces_the_first(run: RunDirectory, poller: ControlPoller) -> None:
    request(run, "save", reason="a")
    request(run, "save", reason="b")
    assert [made.data for made in poller.pending()] == [{"reason": "b"}]


def test_touch_is_enough(run: RunDirectory, poller: ControlPoller) -> None:
    (run.control / "stop.json").touch()
    (made,) = poller.pending()
    assert (made.kind, made.data) == ("stop", {})


def test_a_request_to_a_dead_trainer_does_not_stop_the_next(run: RunDirectory) -> None:
    with RunLock.acquire(run.lock, attempt=1):
        request(run, "stop")
    (run.control / "save.json").touch()
    for path in run.control.iterdir():
        os.utime(path, (1, 1))
    with RunLock.acquire(run.lock, attempt=2):
        poller = ControlPoller(run)
        assert poller.pending() == []
        assert files(run) == ["save.stale.json", "stop.stale.json"]
        request(run, "stop")
        assert [made.kind for made in poller.pending()] == ["stop"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("sotp.json", "{}"), ("stop.json", "{"), ("stop.json", "[]"), ("save.json", '{"time": "now"}'),
     ("eval.json", '{"data": 3}'), ("eval.json", "\x00")],
)  # fmt: skip
def test_what_is_no_request_is_refused_aloud(run: RunDirectory, poller: ControlPoller, name: str, content: str) -> None:
    (run.control / name).write_text(content)
    assert poller.pending() == []
    assert [type(refused) for refused in poller.rejected] == [Rejected]
    assert poller.rejected[0].name == name
    assert files(run) == [name.replace(".json", ".rejected.json")]
    assert poller.pending() == []


def test_unfinished_and_foreign_files_are_left_alone(run: RunDirectory, poller: ControlPoller) -> None:
    for name in (".stop.json.1-ab.tmp", "notes.txt"):
        (run.control / name).touch()
    assert poller.pending() == []
    assert files(run) == [".stop.json.1-ab.tmp", "notes.txt"]


def test_a_folder_that_has_gone_is_an_error(run: RunDirectory, poller: ControlPoller) -> None:
    run.control.rename(run.path / "elsewhere")
    with pytest.raises(RunWriteError, match="No such file"):
        poller.pending()


def test_nobody_to_ask(run: RunDirectory) -> None:
    with pytest.raises(RunError, match="no live trainer to stop"):
        request(run, "stop")
    assert files(run) == []


def test_unknown_kinds_are_a_mistake(run: RunDirectory) -> None:
    with pytest.raises(AssertionError):
        request(run, "dance")  # type: ignore[arg-type]  # the point of the test
