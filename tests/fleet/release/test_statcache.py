"""The cache of digests: it saves reading the tree, and never says that a changed file is the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.release import Tree, scan
from fleet.release import hashing as hashing_module
from fleet.release.statcache import StatCache, settled, stamp_of
from tests.fleet.release.places import write


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Paths that were read, as they are."""
    paths: list[bytes] = []
    real = hashing_module.hash_file

    def noting(prefix: bytes, path: bytes) -> tuple[bytes, bytes, bool]:
        paths.append(path)
        return real(prefix, path)

    monkeypatch.setattr(hashing_module, "hash_file", noting)
    return paths


@pytest.fixture
def old(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Tree]:
    """Looks at a tree five seconds after it was written, as far as the cache can tell."""
    write(place / "p", {"a": b"1", "b": b"2", "sub/c": b"3"})
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 5_000_000_000)
    return lambda: scan(place / "p", cache=place / "cache")


def test_untouched_files_are_not_read_again(old: Callable[[], Tree], hashed: list[bytes], place: Path) -> None:
    first = old()
    assert sorted(hashed) == [b"a", b"b", b"sub/c"]
    hashed.clear()
    assert old().digest == first.digest
    assert hashed == []
    assert (place / "cache").stat().st_mode & 0o777 == 0o700


def test_fresh_files_are_distrusted(place: Path, hashed: list[bytes]) -> None:
    write(place / "p", {"a": b"1"})
    for _ in range(2):
        scan(place / "p", cache=place / "cache")
    assert hashed == [b"a", b"a"]


def test_the_limit_is_two_seconds(place: Path) -> None:
    write(place, {"a": b"1"})
    status = (place / "a").stat()
    newest = max(status.st_mtime_ns, status.st_ctime_ns)
    assert not settled(status, newest + 1_999_999_999)
    assert settled(status, newest + 2_000_000_000)
    os.utime(place / "a", (newest / 1e9 + 3600, newest / 1e9 + 3600))
    assert not settled((place / "a").stat(), newest + 60_000_000_000), "a time in the future tells nothing"


@pytest.mark.parametrize("what", ["content", "size", "replaced", "mode only"])
def test_every_kind_of_change_is_seen(old: Callable[[], Tree], hashed: list[bytes], place: Path, what: str) -> None:
    first = old()
    hashed.clear()
    path = place / "p" / "a"
    status = path.stat()
    if what == "mode only":
        path.chmod(0o755)
    elif what == "replaced":
        write(place, {"other": b"9"})
        os.utime(place / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
        (place / "other").rename(path)
    else:
        path.write_bytes(b"9" if what == "content" else b"99")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert old().digest != first.digest
    assert hashed == [b"a"], "the change time tells what the modification time hides"


def test_all_four_marks_of_a_file_count(place: Path) -> None:
    write(place, {"a": b"12345"})
    status = (place / "a").stat()
    marks = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    assert stamp_of(status) == b"%d %d %d %d" % marks


def test_what_is_gone_is_forgotten(old: Callable[[], Tree], place: Path) -> None:
    old()
    (place / "p" / "a").unlink()
    old()
    (file,) = (place / "cache").iterdir()
    names = file.read_bytes().split(b"\n", 1)[1][64:].split(b"\0")[::3]
    assert sorted(names) == [b"b", b"sub/c"]


def test_a_damaged_cache_is_no_cache(old: Callable[[], Tree], hashed: list[bytes], place: Path) -> None:
    first = old()
    (file,) = (place / "cache").iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:-1], whole[:40], whole.replace(b"sub/c", b"sub/d"), b"other\n" + whole):
        file.write_bytes(damaged)
        hashed.clear()
        assert old().digest == first.digest
        assert len(hashed) == 3
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_told(old: Callable[[], Tree], place: Path) -> None:
    (place / "cache").write_bytes(b"a file where the folder should be")
    (warning,) = old().warnings
    assert warning.startswith("digests could not be kept for the next deploy: ")


def test_nothing_is_written_when_nothing_was_learned(old: Callable[[], Tree], place: Path) -> None:
    old()
    (file,) = (place / "cache").iterdir()
    before = file.stat().st_ino
    old()
    assert file.stat().st_ino == before
    assert StatCache(file).get(b"a", b"another stamp") is None


def test_many_bytes_are_hashed_by_threads_with_the_same_result(place: Path) -> None:
    write(place / "p", {f"f{number}": os.urandom(1 << 20) for number in range(6)})
    digests = {entry.path: entry.digest for entry in scan(place / "p").entries}
    import hashlib

    assert digests == {
        os.fsencode(path.name): hashlib.sha256(path.read_bytes()).hexdigest() for path in (place / "p").iterdir()
    }
