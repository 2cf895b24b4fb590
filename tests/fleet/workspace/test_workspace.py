"""The folder beside fleet.json: closed to others, ignored by git, its trail never torn."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import Usage
from fleet.redaction import Redactor
from fleet.workspace import AuditRecord, Workspace

PROCESSES = 4
RECORDS = 25


def mode(path: Path) -> int:
    """Permission bits."""
    return path.stat().st_mode & 0o777


def record(action: str = "deploy", argv: Sequence[str] = ("fleet", "deploy", "box"), **more: Any) -> AuditRecord:
    """Some record."""
    return AuditRecord.of(action, argv=argv, **{"targets": ("box",), "result": "done", "redactor": Redactor(), **more})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace beside a fleet.json."""
    return Workspace.beside(tmp_path / "fleet.json")


def test_the_folder_is_closed_and_ignored_by_git(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        workspace = Workspace(tmp_path / ".fleet")
    finally:
        os.umask(old)
    assert mode(workspace.folder) == mode(workspace.cache_folder) == 0o700
    assert (workspace.folder / ".gitignore").read_text() == "*\n"
    assert workspace.known_hosts == tmp_path / ".fleet" / "known_hosts"
    assert {path.name for path in workspace.folder.iterdir()} == {".gitignore", "cache"}


def test_an_open_folder_is_closed_and_what_is_in_it_stays(tmp_path: Path) -> None:
    folder = tmp_path / ".fleet"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / ".gitignore").write_text("# mine\n*\n")
    (folder / "known_hosts").write_text("a line\n")
    Workspace(folder)
    assert mode(folder) == 0o700
    assert (folder / ".gitignore").read_text() == "# mine\n*\n"
    assert (folder / "known_hosts").read_text() == "a line\n"


@pytest.mark.needs("git")
def test_git_sees_nothing_of_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    Workspace(tmp_path / ".fleet").audit(record())
    seen = subprocess.run(["git", "-C", str(tmp_path), "status", "--porcelain"], capture_output=True, text=True)
    assert (seen.returncode, seen.stdout) == (0, "")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / ".fleet").write_text("a file")
    with pytest.raises(Usage, match="cannot make") as raised:
        Workspace(tmp_path / ".fleet")
    assert raised.value.exit_code == 2


def test_a_writtenis_one_line_of_json(workspace: Workspace) -> None:
    redactor = Redactor(["hunter2-hunter2"])
    argv = ["fleet", "run", "box", "--env", "A_TOKEN=x y", "--", "echo", "hunter2-hunter2", "two\nlines"]
    result = "failed: hunter2-hunter2"
    written = record("run", argv, targets=["box", "bay"], plan_digest="ab" * 32, result=result, redactor=redactor)
    workspace.audit(written)
    text = workspace.audit_trail.read_text()
    assert text.count("\n") == 1
    row = json.loads(text)
    assert list(row) == ["time", "user", "action", "argv", "targets", "plan_digest", "result"]
    assert row["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert row["argv"] == ["fleet", "run", "box", "--env", "A_TOKEN=***", "--", "echo", "***", "two\nlines"]
    assert (row["targets"], row["result"], row["plan_digest"]) == (["box", "bay"], "failed: ***", "ab" * 32)
    assert written.line() == text.encode(), "the host's trail gets the same line"
    assert mode(workspace.audit_trail) == 0o600


def test_the_user_is_not_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert record().user == pwd.getpwuid(os.getuid()).pw_name


def test_a_torn_line_swallows_no_other(workspace: Workspace) -> None:
    workspace.audit(record(action="first"))
    with workspace.audit_trail.open("ab") as file:
        file.write(b'{"time": 1, "us')
    workspace.audit(record(action="second"))
    lines = workspace.audit_trail.read_text().splitlines()
    assert [json.loads(line)["action"] for line in (lines[0], lines[2])] == ["first", "second"]


WRITER = """
import sys
from pathlib import Path
from fleet.redaction import Redactor
from fleet.workspace import AuditRecord, Workspace
workspace = Workspace(Path(sys.argv[1]))
redactor = Redactor()
for number in range(int(sys.argv[3])):
    workspace.audit(AuditRecord.of(sys.argv[2], argv=("x" * 3000,), targets=(), result=str(number), redactor=redactor))
"""


def test_processes_do_not_mix_their_lines(workspace: Workspace, root: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(workspace.folder)]
    running = [subprocess.Popen([*command, str(number), str(RECORDS)], cwd=root) for number in range(PROCESSES)]
    assert [process.wait() for process in running] == [0] * PROCESSES
    rows = [json.loads(line) for line in workspace.audit_trail.read_text().splitlines()]
    found = sorted((row["action"], int(row["result"])) for row in rows)
    assert found == sorted((str(process), number) for process in range(PROCESSES) for number in range(RECORDS))


def test_a_trail_that_cannot_be_written_is_told(workspace: Workspace) -> None:
    workspace.audit_trail.mkdir()
    with pytest.raises(Usage, match="cannot add to"):
        workspace.audit(record())


def test_results_are_kept_by_kind_and_key(workspace: Workspace) -> None:
    cache = workspace.cache
    assert cache.get("tree", "a") is None
    cache.put("tree", "a", b"one")
    cache.put("list", "a", b"two")
    assert (cache.get("tree", "a"), cache.get("list", "a")) == (b"one", b"two")
    cache.put("tree", "b", b"three")
    assert cache.get("tree", "a") is None, "one entry a kind"
    assert {path.name for path in workspace.cache_folder.iterdir()} == {"tree-b.json", "list-a.json"}


def test_the_part_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ".fleet"
    folder.mkdir()
    (folder / "cache").touch()
    with pytest.raises(Usage, match=r"cannot make .*\.fleet/cache"):
        Workspace(folder)
