from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from hydra.errors import RunError
from hydra.runs import (
    RunWriteError,
    atomic,
    read_json,
    read_yaml,
    remove_leftovers,
    sync_directory,
    write_bytes,
    write_json,
    write_text,
    write_yaml,
)


def test_round_trips(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"loss": float("inf"), "text": "é"})
    assert read_json(tmp_path / "a.json") == {"loss": float("inf"), "text": "é"}
    assert read_json(tmp_path / "a.json", numbers=False)["loss"] == "Infinity"
    write_yaml(tmp_path / "a.yaml", {"z": 1, "a": ["é", None]})
    assert read_yaml(tmp_path / "a.yaml") == {"z": 1, "a": ["é", None]}
    assert (tmp_path / "a.yaml").read_text().startswith("z:"), "keys keep their order"
    write_text(tmp_path / "a.txt", "é\n", durable=False)
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.txt", "a.yaml"]


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "written", "")
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_reader_never_sees_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    contents = {b"a" * 100_000, b"b" * 7}
    write_bytes(path, b"b" * 7)
    ended = threading.Event()
    seen: list[bytes] = []

    def read() -> None:
        while not ended.is_set():
            seen.append(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(100):
        for content in contents:
            write_bytes(path, content, durable=False)
    ended.set()
    reader.join()
    assert seen
    assert set(seen) <= contents


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_failed_write_leaves_the_old_content_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    path = tmp_path / "state.json"
    write_text(path, "old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, call, fail)
        with pytest.raises(RunWriteError, match=os.strerror(code)) as caught:
            write_text(path, "new")
    assert isinstance(caught.value.__cause__, OSError)
    assert ("df -h" in caught.value.example) == (code == errno.ENOSPC)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(atomic.os, "write", lambda descriptor, data: whole(descriptor, data[:3]))
    write_text(tmp_path / "a", "0123456789")
    assert (tmp_path / "a").read_text() == "0123456789"


def test_a_removed_run_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(RunWriteError, match="No such file"):
        write_text(tmp_path / "gone" / "state.json", "x")
    assert not (tmp_path / "gone").exists()


def test_durable_means_file_and_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(atomic.os, "fsync", synced.append)
    write_text(tmp_path / "a", "x", durable=False)
    assert not synced
    write_text(tmp_path / "a", "x")
    assert len(synced) == 2


@pytest.mark.parametrize(("code", "raises"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_directories_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raises: bool
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, "")

    monkeypatch.setattr(atomic.os, "fsync", fail)
    if raises:
        with pytest.raises(OSError):
            sync_directory(tmp_path)
    else:
        sync_directory(tmp_path)


def test_missing_and_damaged_files_name_themselves(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"a":')
    with pytest.raises(RunError, match="not JSON"):
        read_json(tmp_path / "a.json")
    for text in (b"a: [", b"\xff", b"!!python/object/apply:os.getcwd []"):
        (tmp_path / "a.yaml").write_bytes(text)
        with pytest.raises(RunError, match="not YAML"):
            read_yaml(tmp_path / "a.yaml")


def test_leftovers_go_once_they_are_old(tmp_path: Path) -> None:
    old, fresh, other = tmp_path / ".a.json.1-ab.tmp", tmp_path / ".a.json.2-cd.tmp", tmp_path / "a.json"
    for path in (old, fresh, other):
        path.write_text("x")
    os.utime(old, (1, 1))
    os.utime(other, (1, 1))
    assert remove_leftovers(tmp_path) == [old]
    assert fresh.exists()
    assert other.exists()
