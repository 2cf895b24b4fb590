"""Following a log: everything once, in order, and an end that says what happened."""

from __future__ import annotations

import shutil
import threading
import time

import pytest

from fleet.errors import DeadlinePassed, Usage
from fleet.logs import Ended, Gap, Line, LostRun, RunState, Torn, Vanished, message
from fleet.remote.frames import segment_name
from fleet.ssh import Deadline
from tests.fleet.logs.conftest import lines_of, texts


def test_lines_come_as_they_are_written_and_the_end_says_how(host) -> None:
    log = host.log()
    log.take("out", b"one\ntwo\n")
    records = host.follow()
    assert [next(records).frame.text for _ in range(2)] == ["one", "two"]
    log.take("err", b"three\n")
    third = next(records)
    assert (third.frame.text, third.frame.stream) == ("three", "err")
    log.end("failed", {"code": 1, "kind": "ValueError"})
    host.state = RunState("failed", {"code": 1, "kind": "ValueError"})
    end = list(records)
    assert [type(record) for record in end] == [Line, Ended]
    assert message(end[-1]) == "the run ended: failed (code 1, kind ValueError)"


def test_every_cursor_is_a_place_to_go_on(host, monkeypatch: pytest.MonkeyPatch) -> None:
    log = host.log(monkeypatch, 150)
    for number in range(20):
        log.take("out", b"line %d\n" % number)
    log.end("completed", None)
    host.state = RunState("completed")
    lines = lines_of(list(host.follow()))
    assert [line.frame.text for line in lines] == [f"line {number}" for number in range(20)]
    assert len(list((host.run / "log").iterdir())) > 3
    for line in lines[::5]:
        rest = texts(list(host.follow(line.cursor, until_now=True)))
        assert rest == [later.frame.content() for later in lines if later.cursor > line.cursor]


def test_a_log_that_is_not_there_yet_is_waited_for(host) -> None:
    records = host.follow()
    first = []
    reader = threading.Thread(target=lambda: first.append(next(records)))
    reader.start()
    time.sleep(0.1)
    host.log().take("out", b"late\n")
    reader.join(10)
    assert texts(first) == [b"late"]
    records.close()


def test_a_run_that_never_wrote_a_log_ends_too(host) -> None:
    host.state = RunState("stopped", {"code": 0})
    assert list(host.follow()) == [Ended("stopped", {"code": 0})]


def test_a_killed_supervisor_is_told_from_an_end(host) -> None:
    host.log().take("out", b"last words\n")
    host.state = RunState("lost", None, "the host rebooted")
    records = list(host.follow())
    assert texts(records) == [b"last words"]
    assert records[-1] == LostRun("the host rebooted")
    assert "lost" in message(records[-1])


def test_a_vanished_run_is_told_from_both(host) -> None:
    host.log().take("out", b"one\n")
    records = host.follow()
    assert texts([next(records)]) == [b"one"]
    shutil.rmtree(host.run)
    [end] = list(records)
    assert isinstance(end, Vanished)
    assert "vanished" in message(end)


def test_a_vanished_segment_is_noticed_while_the_run_lives(host) -> None:
    host.log().take("out", b"one\n")
    records = host.follow()
    next(records)
    (host.run / "log" / segment_name(0)).unlink()
    [end] = list(records)
    assert isinstance(end, Vanished)


def test_a_log_that_became_shorter_is_no_log_to_go_on_with(host) -> None:
    host.log().take("out", b"one\ntwo\nthree\n")
    records = host.follow()
    for _ in range(3):
        next(records)
    segment = host.run / "log" / segment_name(0)
    segment.write_bytes(segment.read_bytes()[:10])
    [end] = [record for record in records if not isinstance(record, Line)]
    assert isinstance(end, Vanished)


def test_silence_of_a_live_run_is_no_end(host) -> None:
    log = host.log()
    log.take("out", b"one\n")
    records = host.follow(quiet=0.05)
    next(records)
    threading.Timer(0.8, lambda: log.take("out", b"two\n")).start()
    assert texts([next(records)]) == [b"two"]
    assert 2 <= len(host.asked) <= 8, "it asks more and more rarely"
    records.close()


def test_a_resumed_run_is_followed_into_its_next_attempt(host) -> None:
    log = host.log()
    log.take("out", b"first\n")
    log.end("failed", {"code": 1})
    records = host.follow()
    assert texts([next(records), next(records)]) == [b"first"]
    log.begin()
    threading.Timer(0.2, lambda: log.take("out", b"second\n")).start()
    assert texts([next(records)]) == [b"second"]
    log.end("completed", None)
    host.state = RunState("completed")
    assert list(records)[-1] == Ended("completed")


def test_what_a_killed_supervisor_left_torn_hides_nothing(host) -> None:
    log = host.log()
    log.take("out", b"one\ntwo\n")
    segment = host.run / "log" / segment_name(0)
    whole = segment.read_bytes()
    with segment.open("ab") as file:
        file.write(b"3\t17000")
    records = host.follow()
    assert texts([next(records), next(records)]) == [b"one", b"two"]
    again = host.log()
    again.take("out", b"three\n")
    again.end("completed", None)
    host.state = RunState("completed")
    rest = list(records)
    assert texts(rest) == [b"three"]
    [torn] = [record for record in rest if isinstance(record, Torn)]
    assert torn == Torn(b"3\t17000", len(whole) + 8)
    assert not [record for record in rest if isinstance(record, Gap)]


def test_a_segment_that_was_never_closed_is_left_when_a_later_one_is_there(host) -> None:
    """A supervisor that could not write any more may leave no frame that names the next segment."""
    log = host.log()
    log.take("out", b"one\n")
    segment = host.run / "log" / segment_name(0)
    line = segment.read_bytes()
    records = host.follow()
    next(records)
    with segment.open("ab") as file:
        file.write(b"torn")
    following = host.run / "log" / segment_name(len(line) + 4)
    following.write_bytes(line.replace(b"1\t", b"2\t", 1).replace(b"one", b"two"))
    host.state = RunState("completed")
    rest = list(records)
    assert [type(record) for record in rest] == [Torn, Line, Ended]
    assert rest[1].frame.text == "two"


def test_a_gap_and_a_repeat_are_shown(host) -> None:
    host.log().take("out", b"one\ntwo\nthree\n")
    segment = host.run / "log" / segment_name(0)
    one, _, three = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(one + three + three)
    host.state = RunState("completed")
    gaps = [record for record in host.follow() if isinstance(record, Gap)]
    assert [(gap.expected, gap.found) for gap in gaps] == [(2, 3), (4, 3)]
    assert "gap" in message(gaps[0])


def test_a_cursor_behind_the_end_is_a_usage_error(host) -> None:
    host.log().take("out", b"one\n")
    with pytest.raises(Usage, match="cursor 99999 lies behind the end"):
        list(host.follow(99999))


def test_stop_ends_it_soon(host) -> None:
    host.log().take("out", b"one\n")
    stop = threading.Event()
    records = host.follow(stop=stop, quiet=30)
    next(records)
    stop.set()
    started = time.monotonic()
    assert list(records) == []
    assert time.monotonic() - started < 2


def test_the_deadline_holds(host) -> None:
    host.log().take("out", b"one\n")
    with pytest.raises(DeadlinePassed, match="following"):
        list(host.follow(deadline=Deadline.after(0.5)))


def test_what_is_there_can_be_read_without_waiting(host, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(host.follow(until_now=True)) == []
    log = host.log(monkeypatch, 200)
    for number in range(30):
        log.take("out", b"line %d\n" % number)
    lines = lines_of(list(host.follow(until_now=True)))
    assert [line.frame.text for line in lines] == [f"line {number}" for number in range(30)]
    assert texts(list(host.follow(lines[-2].cursor, until_now=True))) == [b"line 29"]
    assert host.asked == []


def test_what_was_followed_can_be_kept(host, monkeypatch: pytest.MonkeyPatch) -> None:
    log = host.log(monkeypatch, 2000)
    for number in range(100):
        log.take("out", b"line %d\n" % number)
    log.end("completed", None)
    host.state = RunState("completed")
    kept = []
    first, *_ = host.follow()
    list(host.follow(first.cursor, keep=lambda *entry: kept.append(entry)))
    segments = sorted((host.run / "log").iterdir())
    whole = b"".join(path.read_bytes() for path in segments)
    assert b"".join(data for _, _, _, data in kept) == whole[first.cursor :]
    at = first.cursor
    for name, run, offset, data in kept:
        assert (name, run, offset) == ("local", host.run.name, at)
        at += len(data)
