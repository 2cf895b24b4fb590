"""The program on the host that sends ranges of files."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from fleet.ssh import Cmd, Deadline
from tests.farm.local import LocalTransport

PROGRAM = (files("fleet.remote") / "sender.py").read_text(encoding="utf-8")


def command(folder: Path, *ranges: str) -> Cmd:
    return Cmd.script("send.sh", "python3", PROGRAM, str(folder), *ranges)


def sent(folder: Path, *ranges: str) -> bytes:
    with LocalTransport(folder).stream_out(command(folder, *ranges), deadline=Deadline.after(10)) as output:
        empty, ranges = b"".join(output).split(b"\n", 1)
    assert empty == b"", "the line of a greeting ends before the first range"
    return ranges


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files."""
    (tmp_path / "a b'c").write_bytes(b"0123456789")
    (tmp_path / "-n").write_bytes(b"xyz")
    return tmp_path


def test_ranges_come_in_order_each_with_its_length(folder: Path) -> None:
    got = sent(folder, "a b'c", "2", "3", "-n", "0", "3", "a b'c", "10", "0")
    assert got == b"fleet-range 0 3\n234fleet-range 1 3\nxyzfleet-range 2 0\n"


def test_what_is_not_there_is_said(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "-n")
    (folder / "dir").mkdir()
    got = sent(folder, "a b'c", "5", "100", "none", "0", "5", "link", "0", "3", "dir", "0", "3", "-n", "7", "1")
    assert got == b"fleet-range 0 5\n56789fleet-range 1 0\nfleet-range 2 0\nfleet-range 3 0\nfleet-range 4 0\n"


def test_an_output_that_the_kernel_cannot_copy_to_gets_the_same(folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "out").open("ab") as out:
        argv = [sys.executable, "-c", PROGRAM, str(folder), "a b'c", "1", "8"]
        with subprocess.Popen(argv, stdout=out, stdin=subprocess.PIPE) as process:
            assert process.wait(20) == 0, "its stdin is still open"
    assert (tmp_path / "out").read_bytes() == b"fleet-range 0 8\n12345678"


def test_it_ends_with_its_stdin(folder: Path) -> None:
    (folder / "big").write_bytes(bytes(8 << 20))
    output = LocalTransport(folder).stream_out(command(folder, "big", "0", str(8 << 20)), deadline=Deadline.after(10))
    began = b""
    while len(began) < 30:
        began += next(iter(output))
    assert began.startswith(b"\nfleet-range 0 8388608\n")
    output.close()
    assert output.result().rc == 0, "it ended by itself and was not killed"


def test_a_host_without_python_is_told_by_the_status(folder: Path) -> None:
    tools = folder / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    text = (
        command(folder, "-n", "0", "3")
        .argv[2]
        .replace("/usr/bin/python3", "/no")
        .replace("/usr/local/bin/python3", "/no")
    )
    result = subprocess.run(["/bin/sh", "-c", text, "send.sh", "no-python"], env={"PATH": str(tools)})
    assert result.returncode == 78
