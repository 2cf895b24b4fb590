"""Finding the file, reading it, and the cache: fast when nothing changed, right whatever happens to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import Usage
from fleet.inventory import InvalidInventory, example, find, load, loading
from fleet.workspace import Workspace

READ_TWICE = """
import sys
from pathlib import Path
import fleet.inventory
from fleet.workspace import Workspace
assert "pydantic" not in sys.modules, "importing the room"
path = Path(sys.argv[1])
inventory = fleet.inventory.load(path, Workspace.beside(path).cache)
print("pydantic" in sys.modules, "hydra.manifest.root" in sys.modules, len(inventory.instances))
"""


def test_only_the_first_reading_imports_pydantic(tmp_path: Path, root: Path) -> None:
    (tmp_path / "fleet.json").write_text(example())
    command = [sys.executable, "-c", READ_TWICE, str(tmp_path / "fleet.json")]
    shown = [subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert shown == ["True True 5\n", "False False 5\n"]


class Memory:
    """A cache that counts."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}
        self.hits = 0

    def get(self, kind: str, key: str) -> bytes | None:
        found = self.kept.get((kind, key))
        self.hits += found is not None
        return found

    def put(self, kind: str, key: str, data: bytes) -> None:
        self.kept[kind, key] = data


def test_the_cache_gives_the_same_inventory(tmp_path: Path) -> None:
    path, cache = tmp_path / "fleet.json", Memory()
    path.write_text(example())
    fresh, stored, cached = load(path), load(path, cache), load(path, cache)
    assert fresh == stored == cached
    assert cache.hits == 1


def test_any_other_byte_or_name_is_another_file(tmp_path: Path) -> None:
    path, other, cache = tmp_path / "fleet.json", tmp_path / "lab.json", Memory()
    path.write_text(example())
    other.write_text(example())
    load(path, cache)
    assert load(other, cache).instances["box"].origins["port"] == "lab.json instances.box.port"
    path.write_text(example().replace("40022", "40023"))
    assert load(path, cache).instances["box"].port == 40023
    assert cache.hits == 0


def test_another_version_of_the_rules_checks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What decides about validity is part of the name under which a result is kept."""
    sources = {path.name for path in loading.sources()}
    assert {"field_types.py", "checks.py", "merge.py", "profiles.json", "settings.py", "root.py"} <= sources
    rule = tmp_path / "rule.py"
    monkeypatch.setattr(loading, "sources", lambda: [rule])
    keys = set()
    for text in ("a = 1", "a = 2"):
        rule.write_text(text)
        keys.add(loading.fingerprint(b"{}", "fleet.json"))
    assert len(keys) == 2


def test_a_file_that_became_wrong_is_refused_in_spite_of_the_cache(tmp_path: Path) -> None:
    path, cache = tmp_path / "fleet.json", Memory()
    path.write_text(example())
    load(path, cache)
    path.write_text(example().replace('"port": 40022', '"prot": 40022'))
    for _ in range(2):
        with pytest.raises(InvalidInventory):
            load(path, cache)
    assert cache.hits == 0


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "other", "folder"])
def test_a_damaged_cache_says_nothing_wrong_and_is_written_again(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "fleet.json"
    path.write_text(example())
    cache = Workspace.beside(path).cache
    right = load(path, cache)
    [entry] = (tmp_path / ".fleet" / "cache").glob("inventory-*.json")
    whole = entry.read_bytes()
    if damage == "folder":
        entry.unlink()
        entry.mkdir()
    else:
        bytes_of = {
            "torn": whole[:-20],
            "flipped": whole.replace(b"40022", b"40023"),
            "empty": b"",
            "other": json.dumps({"instances": {}}).encode(),
        }
        entry.write_bytes(bytes_of[damage])
    assert load(path, cache) == right
    assert damage == "folder" or entry.read_bytes() == whole


def test_the_cache_is_closed_to_others_and_forgets_what_is_old(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    cache = Workspace.beside(path).cache
    for port in (40022, 40023):
        path.write_text(example().replace("40022", str(port)))
        load(path, cache)
    [entry] = (tmp_path / ".fleet" / "cache").iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600


def test_a_cache_that_can_be_neither_read_nor_written_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    path.write_text(example())
    cache = Workspace.beside(path).cache
    (tmp_path / ".fleet" / "cache").rmdir()
    (tmp_path / ".fleet" / "cache").write_text("in the way")
    assert load(path, cache) == load(path)


def test_the_file_is_looked_for_upwards_ten_levels(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcdefghijk")
    deep.mkdir(parents=True)
    (tmp_path / "fleet.json").write_text("{}")
    assert find(deep.parent) == tmp_path / "fleet.json"
    with pytest.raises(Usage, match=r"no fleet\.json .* 10 folders above"):
        find(deep)
    (tmp_path / "a" / "fleet.json").write_text("{}")
    assert find(deep) == tmp_path / "a" / "fleet.json"
    (deep / "fleet.json").mkdir()
    assert find(deep) == tmp_path / "a" / "fleet.json", "a folder of that name is no file"


def test_a_named_file_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text("{}")
    assert find(tmp_path, Path("lab.json")) == tmp_path / "lab.json"
    with pytest.raises(Usage, match=r"there is no file .*other\.json"):
        find(tmp_path, Path("other.json"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff{}", "is not UTF-8: byte 0xff in line 1"),
        (b'{\n"a": "\x80"}', "byte 0x80 in line 2"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b" " * 1_000_001, "larger than 1000000 bytes"),
        (None, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, content: bytes | None, said: str) -> None:
    path: Any = tmp_path / "fleet.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Usage, match=said) as raised:
        load(path)
    assert raised.value.exit_code == 2


def test_the_file_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    path.write_text(example())
    before = path.stat()
    load(path, Workspace.beside(path).cache)
    after = path.stat()
    assert (before.st_mtime_ns, before.st_ino, path.read_text()) == (after.st_mtime_ns, after.st_ino, example())
