"""Target 10: no line is lost or repeated, however often and wherever the link breaks. The numbers of the lines tell."""

from __future__ import annotations

import hashlib
import random

import pytest

from fleet.logs import Ended, Gap, Reconnecting, RunState, Torn, message
from fleet.remote.frames import PIECE_BYTES
from fleet.ssh import Deadline
from tests.farm.cutting import CuttingTransport, lost
from tests.fleet.logs.conftest import lines_of, texts
from tests.fleet.logs.writer import text

#: Forced drops; the nightly table takes 100.
DROPS = 16
LINES = 4000
MODES = ("close", "rst", "hole")


def digest(lines: list[bytes]) -> str:
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def test_no_line_is_lost_or_repeated_while_a_process_writes(host) -> None:
    chance = random.Random(10)

    def cuts():
        while transport.cut < DROPS:
            yield chance.choice([chance.randint(40, 200), 30_000]), chance.choice(MODES)

    transport = CuttingTransport(host.transport, cuts())
    host.write_in_process(LINES, segment_bytes=100_000, pause=0.0003)
    records = list(host.follow(transport=transport, state_of=host.written_state))
    assert digest(texts(records)) == digest([text(number).encode() for number in range(LINES)])
    assert transport.cut == DROPS
    assert sum(isinstance(record, Reconnecting) for record in records) >= DROPS
    assert not [record for record in records if isinstance(record, Gap | Torn)]
    assert records[-1] == Ended("completed", {"code": 0})
    sequence = [line.frame.seq for line in lines_of(records)]
    assert sequence == sorted(set(sequence))


@pytest.mark.parametrize("mode", MODES)
def test_a_cut_while_segments_change_loses_nothing(host, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Every byte around the frame that names the next segment is cut at once."""
    log = host.log(monkeypatch, 200)
    for number in range(8):
        log.take("out", b"line %d\n" % number)
    log.end("completed", None)
    host.state = RunState("completed")
    segments = sorted((host.run / "log").iterdir())
    assert len(segments) == 2
    first = len(segments[0].read_bytes())
    header = len(f"fleet-follow 0 {first} {first}\n")
    around = [first + header + offset for offset in (-60, -1)]
    for at in around:
        transport = CuttingTransport(host.transport, [(at, mode), (20, mode), (header + 1, mode)])
        records = list(host.follow(transport=transport))
        assert texts(records) == [b"line %d" % number for number in range(8)]
        assert not [record for record in records if isinstance(record, Gap | Torn)]


def test_a_connection_that_cannot_be_made_is_tried_until_it_can(host) -> None:
    host.log().take("out", b"one\n")
    host.state = RunState("completed")
    transport = CuttingTransport(host.transport, [(0, "rst")] * 8)
    records = list(host.follow(transport=transport))
    assert sum(isinstance(record, Reconnecting) for record in records) == 8
    assert texts(records) == [b"one"]
    assert message(records[0]).startswith("the link was lost (local: the connection was lost); trying again in")


@pytest.mark.parametrize("failure", [lost("local"), Deadline.after(1).error("asking")], ids=["link", "deadline"])
def test_a_question_about_the_state_that_fails_ends_nothing(host, failure) -> None:
    answers = iter([failure] * 3)

    def state_of() -> RunState:
        if (answer := next(answers, None)) is not None:
            raise answer
        return RunState("completed")

    host.log().take("out", b"one\n")
    records = list(host.follow(state_of=state_of))
    assert {type(record) for record in records[1:-1]} == {Reconnecting}
    assert records[-1] == Ended("completed")
    assert texts(records) == [b"one"]


def test_hostile_bytes_and_huge_lines_arrive_as_they_were_written(host) -> None:
    chance = random.Random(3)
    odd = [b"", b"\x00", b"\xff\xfe", b"tab\there", b"back\\slash \\x41", "\u202e\u2028ü".encode(), b"\x1b[2J\r\x9b31m"]
    lines = [*odd, chance.randbytes(5000).replace(b"\n", b""), b"y" * (40 * PIECE_BYTES + 7)]
    log = host.log()
    log.take("out", b"\n".join(lines) + b"\n")
    log.end("completed", None)
    host.state = RunState("completed")
    transport = CuttingTransport(host.transport, [(5000, "rst"), (100_000, "close")])
    records = list(host.follow(transport=transport))
    got, held = [], b""
    for line in lines_of(records):
        held += line.frame.content()
        if line.frame.flags == "-":
            got.append(held)
            held = b""
    assert got == lines


def test_a_flood_is_followed_in_bounded_memory(host) -> None:
    """The reader is slower than the writer: the host waits for it, and nothing is lost."""
    log = host.log()
    lines = 40_000
    log.take("out", b"".join(b"%d %s\n" % (number, b"z" * 200) for number in range(lines)))
    log.end("completed", None)
    host.state = RunState("completed")
    count = 0
    for record in host.follow():
        if lines_of([record]):
            assert record.frame.text.startswith(f"{count} ")
            count += 1
    assert count == lines
