from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.runs import JsonReader, LineReader, LineWriter, following, last_lines

LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=12)


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "lines"


@given(LINES, st.binary(max_size=20), st.data())
def test_any_interleaving_of_partial_writes_gives_each_whole_line_once(
    lines: list[bytes], torn: bytes, data: st.DataObject
) -> None:
    """Bytes arrive in any pieces, polls and changes of reader (by cursor) happen anywhere between them."""
    whole = b"".join(line + b"\n" for line in lines)
    content = whole + torn.replace(b"\n", b"")
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=8))
    limit = data.draw(st.integers(1, 50))
    found: list[bytes] = []
    with scratch() as path:
        reader = LineReader(path, limit=limit)
        assert reader.poll() == []
        position = 0
        for cut in sorted([*cuts, len(content)]):
            with path.open("ab") as file:
                file.write(content[position:cut])
            position = cut
            for _ in range(data.draw(st.integers(0, 3))):
                found += reader.poll()
                assert content[: reader.cursor].endswith(b"\n") or reader.cursor == 0
            if data.draw(st.booleans()):
                reader = LineReader(path, reader.cursor, limit=limit)
        while more := reader.poll():
            found += more
        assert reader.cursor == len(whole)
    assert found == lines


@given(st.lists(st.one_of(st.integers(), st.binary(max_size=30)), max_size=20), st.integers(1, 60))
def test_json_lines_skip_and_count_the_rest(items: list[int | bytes], limit: int) -> None:
    lines = [
        json.dumps({"n": item}).encode() if isinstance(item, int) else b"\x00" + item.replace(b"\n", b"")
        for item in items
    ]
    with scratch() as path:
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        reader = JsonReader(path, limit=limit)
        assert [row["n"] for row in reader.drain()] == [item for item in items if isinstance(item, int)]
        assert reader.skipped == sum(isinstance(item, bytes) for item in items)
        assert reader.poll() == []


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8))
def test_a_writer_killed_anywhere_any_number_of_times(cuts: list[int]) -> None:
    """Each attempt appends three lines and is cut off inside; what was whole stays readable, in order, once."""
    with scratch() as path:
        expected: list[int] = []
        fragments = 0
        for attempt, cut in enumerate(cuts):
            with LineWriter(path) as writer:
                start = path.stat().st_size
                for number in range(3):
                    writer.append(json.dumps({"n": 10 * attempt + number, "pad": "x" * 10}).encode())
            whole = path.read_bytes()[start:]
            kept = whole[: min(cut, len(whole))]
            with path.open("r+b") as file:
                file.truncate(start + len(kept))
            complete = [json.loads(line)["n"] for line in kept.split(b"\n") if line.endswith(b"}")]
            expected += complete
            fragments += not (kept == b"" or kept.endswith((b"\n", b"}")))
        LineWriter(path).close()
        reader = JsonReader(path)
        assert [row["n"] for row in reader.drain()] == expected
        assert reader.skipped == fragments


@given(LINES, st.binary(max_size=20), st.integers(1, 15), st.integers(1, 64))
def test_the_last_lines_are_those_of_the_whole_file(lines: list[bytes], torn: bytes, count: int, block: int) -> None:
    with scratch() as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "_BLOCK", block)
        assert last_lines(path, count) == []
        path.write_bytes(b"".join(line + b"\n" for line in lines) + torn.replace(b"\n", b""))
        assert last_lines(path, count) == lines[-count:]
