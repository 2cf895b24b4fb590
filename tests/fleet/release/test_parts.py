"""A tree of many files is checked part by part while it arrives."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import pytest

from fleet.errors import Unverified
from fleet.release import Tree, scan, verify
from fleet.release.parts import PARTS, parts
from fleet.release.steps import prepared
from tests.fleet.release.places import Host, needs_git, soon, write
from tests.fleet.release.test_cuts import receiver

pytestmark = needs_git


@pytest.fixture
def large(place: Path) -> Tree:
    chance = random.Random(1)
    files = {f"p{number % 7}/m{number}": chance.randbytes(chance.randrange(900)) for number in range(400)}
    write(place / "large", {**files, "link": "p1/m1"})
    return scan(place / "large")


def test_lists_of_parts_are_how_the_list_of_all_begins(large: Tree) -> None:
    found = parts(large.entries)
    assert len(found) == PARTS - 1
    sizes = [sum(entry.size for entry in large.entries[:number]) / large.size for number in found]
    assert sizes == pytest.approx([0.25, 0.5, 0.75], abs=0.02)
    assert not parts(large.entries[:200])


def test_what_arrives_whole_becomes_current(host: Host, large: Tree) -> None:
    assert host.deploy(large).action == "uploaded"
    release = host.release(large.release)
    assert host.current() == large.release and not list((release / ".fleet").glob("part*"))
    assert sorted(path.name for path in (release / ".fleet").iterdir()) == [
        "SHA256SUMS",
        "manifest",
        "release.json",
        "release.json.sha256",
    ]


@pytest.mark.parametrize("place_of_fault", [0.05, 0.3, 0.6, 0.95])
def test_a_file_that_arrives_damaged_is_named(host: Host, large: Tree, place_of_fault: float) -> None:
    upload = prepared(large, None)
    files = [entry for entry in large.entries if entry.kind == "f" and entry.size > 100]
    victim = files[int(place_of_fault * len(files))]
    content = (large.root / victim.path.decode()).read_bytes()
    stream = b"".join(upload.chunks())
    assert stream.count(content) == 1
    stream = stream.replace(content, bytes(len(content)))
    result = host.transport.stream_in(receiver(host, large, upload, 60, 60), [stream], deadline=soon())
    assert result.rc == 65 and f"./{victim.path.decode()}: FAILED".encode() in result.err
    assert host.released() == set() and host.left() == []


@pytest.mark.parametrize("number", range(1, PARTS))
def test_a_list_that_is_not_of_these_files_settles_nothing(host: Host, large: Tree, number: int) -> None:
    """Both the file and the early list are of something else: only the list of all counts."""
    upload = prepared(large, None)
    victim = [entry for entry in large.entries if entry.kind == "f" and entry.size > 100][number * 100 - 60]
    content = (large.root / victim.path.decode()).read_bytes()
    zeros = sha256(bytes(len(content))).hexdigest()
    stream = b"".join(upload.chunks()).replace(content, bytes(len(content)))
    line = f"{victim.digest}  ./{victim.path.decode()}\n".encode()
    assert stream.count(line) == 2, "in the list of its part and in the list of all"
    stream = stream.replace(line, f"{zeros}  ./{victim.path.decode()}\n".encode(), 1)
    result = host.transport.stream_in(receiver(host, large, upload, 60, 60), [stream], deadline=soon())
    assert result.rc == 65 and b": FAILED" in result.err
    assert host.released() == set()


def test_a_cut_anywhere_leaves_nothing(host: Host, large: Tree) -> None:
    upload = prepared(large, None)
    stream = b"".join(upload.chunks())
    chance = random.Random(2)
    for end in [stream.rindex(b"part1.whole"), *(chance.randrange(len(stream) - 20_000) for _ in range(5))]:
        result = host.transport.stream_in(receiver(host, large, upload, 60, 60), [stream[:end]], deadline=soon())
        assert result.rc in (65, 74)
        assert host.released() == set() and host.left() == []


def test_a_damaged_release_is_told_apart(host: Host, large: Tree) -> None:
    host.deploy(large)
    damaged = next(path for path in (host.release(large.release) / "p3").iterdir() if path.stat().st_size)
    damaged.chmod(0o644)
    damaged.write_bytes(b"?")
    with pytest.raises(Unverified, match=damaged.name):
        verify(host.transport, host.deploy_dir, large.release, deadline=soon())
