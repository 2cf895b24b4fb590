"""What becomes of a command on a host when nobody waits for it any more, and that nothing of that is seen otherwise."""

from __future__ import annotations

import signal
import subprocess
import time
import uuid
from collections.abc import Callable

import pytest

from tests.farm.processes import Process, carrying, end_all
from tests.fleet.cli.site import HUNG, Site

#: Two processes in the group of the command; the first line says that both are there.
TWO = "sleep 300 & echo ready; sleep 300; echo no more"


@pytest.fixture
def mark() -> str:
    """A value by which the processes of one test are known."""
    return uuid.uuid4().hex


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def left(mark: str) -> list[Process]:
    """What lives of a command."""
    return carrying({"MARK": mark})


def test_a_command_is_ended_when_its_time_is_over(site: Site, mark: str) -> None:
    argv = ["--env", f"MARK={mark}", "--timeout", "1.5", "--json", "--", "sh", "-c", TWO]
    done = site.fleet("run", "h0,h1", *argv, expect=13)
    assert {row["out"] for row in done.data.values()} <= {"ready\n"}
    for error in done.json["errors"]:
        assert "it is ended there" in error["message"]
    wait_for(lambda: not left(mark))


def test_one_that_ignores_term_is_killed(site: Site, mark: str) -> None:
    argv = ["--env", f"MARK={mark}", "--timeout", "1.5", "--", "sh", "-c", f"trap '' TERM; {TWO}"]
    site.fleet.run("run", "h0", *argv, expect=255)
    assert left(mark)
    wait_for(lambda: not left(mark))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, None], ids=["interrupted", "killed", "cut"])
def test_a_command_is_ended_with_whoever_asked_for_it(site: Site, mark: str, how: signal.Signals | None) -> None:
    with site.fleet.process("run", HUNG, "--env", f"MARK={mark}", "--", "sh", "-c", TWO) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        wait_for(lambda: len(left(mark)) >= 3)
        if how is None:
            site.proxy.reset_all()
        else:
            process.send_signal(how)
        process.communicate(timeout=30)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9, None: 255}[how]
    wait_for(lambda: not left(mark))


def test_a_command_with_stdin_may_go_on_and_that_is_said(site: Site, mark: str) -> None:
    argv = ["--stdin", "--env", f"MARK={mark}", "--timeout", "1.5", "--", "sh", "-c", "cat; exec sleep 300"]
    done = site.fleet.run("run", "h0", *argv, expect=255, stdin=subprocess.DEVNULL)
    assert "may still be running on h0" in done.err and "fleet run h0 -- ps" in done.err
    end_all(left(mark))


def test_what_a_command_leaves_behind_on_purpose_stays(site: Site, mark: str) -> None:
    script = "sleep 300 >/dev/null 2>&1 </dev/null & echo done"
    assert site.fleet.run("run", "h0", "--env", f"MARK={mark}", "--", "sh", "-c", script).out == "done\n"
    # The watcher ends with the session, the other one does not.
    wait_for(lambda: len(left(mark)) == 1)
    end_all(left(mark))


def test_a_command_sees_nothing_of_its_watcher(site: Site) -> None:
    script = (
        "import os, signal, sys\n"
        "try: os.waitpid(-1, os.WNOHANG); print('a child')\n"
        "except ChildProcessError: print('no child')\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGTERM) == 0)\n"
        "print(repr(sys.stdin.read()), sorted(os.listdir('/proc/self/fd')), os.getpgrp() == os.getpid())\n"
    )
    out = site.fleet.run("run", "h0", "--", "python3", "-c", script).out.splitlines()
    # The fourth descriptor is the listing's own.
    assert out == ["no child", "True True", "'' ['0', '1', '2', '3'] True"]
    site.fleet.run("run", "h0", "--", "sh", "-c", "kill -INT $$", expect=128 + 2)
    assert "nothing-of-this-name" in site.fleet.run("run", "h0", "--", "nothing-of-this-name", expect=127).err


def test_a_variable_arrives_byte_by_byte(site: Site) -> None:
    value = b" \xff\xfe=\"$x` '\\\t"
    argv = ["--env", b"LEVEL=" + value, "--", "sh", "-c", 'printf %s "$LEVEL" | od -An -tx1']
    for options in ([], ["--stdin"]):
        done = site.fleet.run("run", "h0", *options, *argv, stdin=subprocess.DEVNULL)
        assert bytes.fromhex("".join(done.out.split())) == value
