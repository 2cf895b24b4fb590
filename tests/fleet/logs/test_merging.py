"""Several nodes as one stream."""

from __future__ import annotations

import threading
import time

import pytest

from fleet.errors import NotFound
from fleet.logs import Ended, Failed, Row, merge


def rows(count: int):
    def follow(stop):
        for number in range(count):
            yield Row(b"%d" % number, number)
        yield Ended("completed")

    return follow


def endless(stop):
    number = 0
    while not stop.is_set():
        yield Row(b"x", number)
        number += 1


def broken(stop):
    yield Row(b"first", 0)
    raise NotFound("no such run", why="w", fix="f", example="e")


def test_all_records_of_all_nodes_come_in_their_order() -> None:
    got: dict[str, list] = {"a": [], "b": []}
    for node, record in merge({"a": rows(2000), "b": rows(3000)}, threading.Event()):
        got[node].append(record)
    assert [record.cursor for record in got["a"][:-1]] == list(range(2000))
    assert [record.cursor for record in got["b"][:-1]] == list(range(3000))
    assert got["a"][-1] == got["b"][-1] == Ended("completed")


def test_they_come_as_they_arrive() -> None:
    ready = threading.Event()

    def late(stop):
        ready.wait(5)
        yield Row(b"late", 0)

    merged = merge({"late": late, "early": rows(1)}, threading.Event())
    assert next(merged)[0] == "early"
    ready.set()
    assert [node for node, _ in merged].count("late") == 1


def test_an_error_of_one_node_stops_no_other() -> None:
    records = list(merge({"bad": broken, "good": rows(5)}, threading.Event()))
    [failed] = [record for _, record in records if isinstance(record, Failed)]
    assert "no such run" in str(failed.error)
    assert sum(node == "good" for node, _ in records) == 6


def test_a_bug_is_not_hidden() -> None:
    def bug(stop):
        yield Row(b"x", 0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(merge({"bug": bug}, threading.Event()))


def test_a_reader_that_leaves_ends_all() -> None:
    before = threading.active_count()
    merged = merge({"a": endless, "b": endless}, threading.Event())
    next(merged)
    started = time.monotonic()
    merged.close()
    assert time.monotonic() - started < 5
    assert threading.active_count() == before
    assert list(merge({}, threading.Event())) == []
