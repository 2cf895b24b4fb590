"""The logs of several nodes as one stream, in the order in which their records arrive here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from fleet.errors import FleetError
from fleet.logs.records import Record

#: Records that wait for their reader; more hold the followers, and with them the connections.
WAITING: Final = 4096


@dataclass(frozen=True, slots=True)
class Failed:
    """The following of one node ended with an error; the others go on."""

    error: FleetError


class _Done:
    """The following of one node is over."""


def merge(
    followers: Mapping[str, Callable[[threading.Event], Iterator[Record]]], stop: threading.Event
) -> Iterator[tuple[str, Record | Failed]]:
    """Run a follower for each node and give `(node, record)` as they come; ends when all have ended.

    Each follower is called with `stop`, which is set when the iteration ends early. An error of one is a Failed record.
    """
    if not followers:
        return
    records: queue.Queue[tuple[str, Record | Failed | _Done]] = queue.Queue(WAITING)
    with ThreadPoolExecutor(len(followers), "follow-node") as pool:
        tasks = [pool.submit(_collect, node, start, records, stop) for node, start in followers.items()]
        left = len(tasks)
        try:
            while left:
                node, record = records.get()
                if isinstance(record, _Done):
                    left -= 1
                else:
                    yield node, record
        finally:
            stop.set()
            _drain(records, tasks)
        for task in tasks:
            task.result()


def _collect(
    node: str,
    start: Callable[[threading.Event], Iterator[Record]],
    records: queue.Queue[tuple[str, Record | Failed | _Done]],
    stop: threading.Event,
) -> None:
    try:
        for record in start(stop):
            records.put((node, record))
    except FleetError as error:
        records.put((node, Failed(error)))
    finally:
        records.put((node, _Done()))


def _drain(records: queue.Queue[tuple[str, Record | Failed | _Done]], tasks: list[Future[None]]) -> None:
    """Make room until every follower has noticed that nobody reads."""
    while not all(task.done() for task in tasks):
        try:
            records.get(timeout=0.05)
        except queue.Empty:
            continue
