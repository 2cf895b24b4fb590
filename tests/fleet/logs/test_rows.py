"""events.jsonl and metrics.jsonl by byte cursor."""

from __future__ import annotations

import random
import threading

from fleet.logs import Ended, Row, RunState, Vanished, follow_rows
from fleet.ssh import Deadline
from tests.farm.cutting import CuttingTransport


def rows_of(host, cursor: int = 0, transport=None, path: str = "events.jsonl", **options):
    used = transport or host.transport
    given = {"state_of": host.state_of, "stop": threading.Event(), "deadline": Deadline.after(30), "quiet": 0.1}
    return follow_rows(lambda: used, str(host.run / path), cursor=cursor, **{**given, **options})


def test_rows_come_once_through_cuts_until_the_run_ends(host) -> None:
    path = host.run / "events.jsonl"
    chance = random.Random(4)
    cuts = [(chance.randint(30, 3000), chance.choice(["close", "rst"])) for _ in range(6)]
    wanted = [b'{"n": %d}' % number for number in range(2000)]
    path.write_bytes(b"\n".join(wanted[:1000]) + b"\n")
    records = rows_of(host, transport=CuttingTransport(host.transport, cuts))
    got = []
    for record in records:
        if isinstance(record, Row):
            got.append(record)
        if len(got) == 1000 and path.stat().st_size == got[-1].cursor:
            with path.open("ab") as file:
                file.write(b"\n".join(wanted[1000:]) + b"\n")
            host.state = RunState("completed", {"code": 0})
    assert [row.data for row in got] == wanted
    assert record == Ended("completed", {"code": 0})
    [*_, last] = rows_of(host, got[-3].cursor)
    assert last == record


def test_a_file_that_is_not_there_yet_is_waited_for(host) -> None:
    records = rows_of(host, path="metrics.jsonl")
    threading.Timer(0.3, lambda: (host.run / "metrics.jsonl").write_bytes(b'{"step": 1}\n')).start()
    assert next(records) == Row(b'{"step": 1}', 12)
    records.close()


def test_a_run_that_never_wrote_it_ends(host) -> None:
    host.state = RunState("failed", {"code": 2})
    assert list(rows_of(host)) == [Ended("failed", {"code": 2})]
    host.state = None
    assert [type(record) for record in rows_of(host)] == [Vanished]
