"""Secrets: only allowed names, only over stdin, only into one private file, and never into a message."""

from __future__ import annotations

import stat
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.environment import read_allowed, remove, send
from fleet.environment.secrets import read_allowed as read
from fleet.errors import FleetError, RemoteFailed, Usage
from fleet.remote.places import DeployDir
from fleet.remote.surroundings import read_secrets
from fleet.ssh import Cmd, Deadline, Result, Sink
from tests.farm.local import LocalTransport

CANARY = "canary-5f1c-value"
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,12}", fullmatch=True)
VALUES = st.text(st.characters(blacklist_characters="\n\r\0", blacklist_categories=["Cs"]), max_size=30)


def limit() -> Deadline:
    return Deadline.after(20)


class Recorder(LocalTransport):
    """Keeps every command line, and may lose the end of what is sent, as a cut connection does."""

    cut = 0

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.lines: list[str] = []

    def exec(self, cmd: Cmd, *, stdin: bytes = b"", deadline: Deadline, sink: Sink | None = None) -> Result:
        self.lines.append(cmd.line())
        return super().exec(cmd, stdin=stdin[: len(stdin) - self.cut], deadline=deadline, sink=sink)


@pytest.fixture
def host(tmp_path: Path) -> Recorder:
    """A host with an empty home."""
    (tmp_path / "home").mkdir()
    return Recorder(tmp_path / "home")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("  export A = spaced  ", "spaced"),
        ("A=with # comment", "with"),
        ("A=with#hash", "with#hash"),
        ("A='single # \"q\" $HOME' # c", 'single # "q" $HOME'),
        (r'A="double \"q\" \\ \t $HOME"', 'double "q" \\ \t $HOME'),
        ("A=", ""),
        ("A=''", ""),
        ("A=b=c==", "b=c=="),
        ("A=first\nA=second", "second"),
        ("# B=1\n\nA=ü", "ü"),
        ("A=crlf\r", "crlf"),
    ],
)
def test_lines(tmp_path: Path, line: str, value: str) -> None:
    file = tmp_path / ".env"
    file.write_text(line + "\n", encoding="utf-8")
    assert read_allowed(file, ["A"]) == {"A": value}


def test_only_allowed_names_are_taken(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    # The value of B could not even be read: it is not looked at.
    file.write_text(f"A=1\nB='{CANARY}\nexport C=3\n")
    assert read_allowed(file, ["A", "C"]) == {"A": "1", "C": "3"}
    assert read_allowed(file, []) == {}


def test_an_instances_own_file_wins(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.write_text("A=shared\nB=shared\n")
    own.write_text("A=own\nX=not allowed\n")
    assert read_allowed(shared, ["A", "B"], override=own) == {"A": "own", "B": "shared"}


def test_missing_names_are_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"A={CANARY}\n")
    with pytest.raises(Usage, match="no value for B, C") as caught:
        read_allowed(file, ["A", "C", "B"])
    assert caught.value.exit_code == 2
    with pytest.raises(Usage, match="No such file"):
        read_allowed(tmp_path / "absent", ["A"])


@pytest.mark.parametrize("text", [f"A='{CANARY}", f'A="{CANARY}', f"A='{CANARY}' more", CANARY, f"a b={CANARY}"])
def test_no_message_holds_a_value(tmp_path: Path, text: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"# one\n{text}\n")
    with pytest.raises(Usage, match=r"\.env:2") as caught:
        read_allowed(file, ["A"])
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_quoted_comes_back(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    file = tmp_path_factory.mktemp("env") / ".env"
    quoted = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in values.items()}
    file.write_bytes("".join(f'{key}="{value}"\n' for key, value in quoted.items()).encode())
    assert read(file, values) == values


def test_the_set_is_private_and_the_supervisor_reads_it(host: Recorder) -> None:
    values = {"TOKEN": CANARY, "ODD": "  $(touch x) `id` 'q' \"d\" ü = # \\n "}
    send(host, "~/fleet", "default", values, deadline=limit())
    folder = host.home / "fleet" / "secrets"
    [file] = folder.iterdir()
    assert file.name == "default.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert read_secrets(DeployDir.at(str(host.home / "fleet")), "default") == values
    assert not list(host.home.glob("**/x"))


def test_a_canary_is_in_the_file_alone(host: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    send(host, "~/fleet", "default", {"TOKEN": CANARY}, deadline=limit())
    assert not any(CANARY in line for line in host.lines)
    holders = [path for path in host.home.rglob("*") if path.is_file() and CANARY in path.read_text()]
    assert [path.name for path in holders] == ["default.env"]
    assert CANARY not in caplog.text


def test_replaced_whole_or_not_at_all(host: Recorder) -> None:
    send(host, "~/fleet", "default", {"TOKEN": "old"}, deadline=limit())
    host.cut = 3
    with pytest.raises(RemoteFailed, match="did not arrive whole") as caught:
        send(host, "~/fleet", "default", {"TOKEN": CANARY, "Z": "1"}, deadline=limit())
    assert CANARY not in str(caught.value)
    folder = host.home / "fleet" / "secrets"
    assert [path.name for path in folder.iterdir()] == ["default.env"], "a torn file was left"
    assert (folder / "default.env").read_text() == "TOKEN=old\n"
    host.cut = 0
    send(host, "~/fleet", "default", {"Z": "1"}, deadline=limit())
    assert (folder / "default.env").read_text() == "Z=1\n"


def test_removal(host: Recorder) -> None:
    send(host, "~/fleet", "default", {"TOKEN": "old"}, deadline=limit())
    send(host, "~/fleet", "other", {"TOKEN": "old"}, deadline=limit())
    for _ in range(2):
        remove(host, "~/fleet", "default", deadline=limit())
    assert [path.name for path in (host.home / "fleet/secrets").iterdir()] == ["other.env"]


def test_a_place_that_cannot_be_written(host: Recorder) -> None:
    (host.home / "fleet").write_text("a file")
    with pytest.raises(RemoteFailed) as caught:
        send(host, "~/fleet", "default", {"TOKEN": CANARY}, deadline=limit())
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("A", "two\nlines"), ("A", "nul\0"), ("A B", CANARY), ("", CANARY)])
def test_what_one_line_cannot_hold(host: Recorder, key: str, value: str) -> None:
    with pytest.raises(Usage) as caught:
        send(host, "~/fleet", "default", {key: value}, deadline=limit())
    assert value not in str(caught.value)
    assert not host.lines


@pytest.mark.parametrize("name", ["../x", "", "A", "a/b", "-a"])
def test_names_of_sets(host: Recorder, name: str) -> None:
    with pytest.raises(FleetError):
        send(host, "~/fleet", name, {"A": "1"}, deadline=limit())
    assert not host.lines
