"""Hosts that differ: a tail without fractions of seconds, a file system that does not tell, a shell that greets."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fleet.agent import Agent
from fleet.errors import RemoteFailed
from fleet.logs import RunState, Torn
from fleet.remote import follower, listing, selection, sender, tail
from fleet.ssh import Cmd, Deadline
from tests.farm.local import LocalTransport
from tests.farm.oldest import oldest_python
from tests.farm.tools import tool
from tests.fleet.logs.conftest import DEPLOY, RUN, texts


def test_nothing_stays_behind(host) -> None:
    log = host.log()
    log.take("out", b"one\n")
    before = threading.active_count()
    records = host.follow()
    next(records)
    records.close()
    assert threading.active_count() == before
    mine = [path for path in Path("/proc").glob("[0-9]*") if str(host.home).encode() in cmdline(path)]
    assert mine == []


#: A tail that knows only what POSIX says.
SIMPLE = """
case "$*" in *--pid* | *-s*) echo "tail: unknown option" >&2; exit 1 ;; esac
exec /usr/bin/tail "$@"
"""
#: A tail that is never told of new bytes while it follows, and ends with the process that holds its stdin.
DEAF = """
case "$*" in
*-f*)
    /usr/bin/tail -c "$6" "$8"
    while kill -0 "${1#--pid=}"; do sleep 0.02; done 2>/dev/null ;;
*) exec /usr/bin/tail "$@" ;;
esac
"""


def cmdline(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_host_whose_tail_cannot_follow_uses_python(host, tmp_path: Path) -> None:
    tools = tool(tmp_path / "tools", "tail", SIMPLE)
    log = host.log()
    log.take("out", b"one\n")
    records = host.follow(transport=LocalTransport(host.home, path=f"{tools}:/usr/bin:/bin"), quiet=30)
    assert texts([next(records)]) == [b"one"]
    log.take("out", b"two\n")
    assert texts([next(records)]) == [b"two"]
    records.close()


def test_a_file_system_that_does_not_tell_is_asked(host, tmp_path: Path) -> None:
    """A tail that never hears of new bytes: the look after some silence finds them, and nothing comes twice."""
    tools = tool(tmp_path / "tools", "tail", DEAF)
    log = host.log()
    records = host.follow(transport=LocalTransport(host.home, path=f"{tools}:/usr/bin:/bin"))
    log.take("out", b"one\n")
    assert texts([next(records)]) == [b"one"]
    log.take("out", b"two\nthree\n")
    assert texts([next(records), next(records)]) == [b"two", b"three"]
    records.close()


def test_a_greeting_of_the_shell_is_passed_over(host) -> None:
    class Greeting(LocalTransport):
        def stream_out(self, cmd, *, deadline):
            line = Cmd(("sh", "-c", 'echo "Welcome!"; exec "$@"', "sh", *cmd.argv))
            return super().stream_out(line, deadline=deadline)

    host.log().take("out", b"one\n")
    host.state = RunState("completed")
    assert texts(list(host.follow(transport=Greeting(host.home)))) == [b"one"]


def test_everything_runs_on_the_oldest_python(host, tmp_path: Path) -> None:
    python = oldest_python()
    if python is None:
        # Without one, the syntax at least is held against 3.8.
        for module in (follower, listing, selection, sender, tail):
            ast.parse(Path(module.__file__).read_text(), feature_version=(3, 8))
        return
    log = host.log()
    log.take("out", b"one\ntwo\n")
    agent = Agent(host.transport, DEPLOY, python)
    answer = agent.call("tail", {"deploy_dir": DEPLOY, "run": RUN, "count": 1}, deadline=Deadline.after(20))
    assert answer["frames"][0][1].endswith("\ttwo")
    answer = agent.call("listing", {"deploy_dir": DEPLOY, "run": RUN}, deadline=Deadline.after(20))
    assert [file["path"] for file in answer["files"]] == ["log/00000000000000000000.seg"]
    tools = tool(tmp_path / "tools", "tail", SIMPLE)
    records = host.follow(transport=LocalTransport(host.home, path=f"{tools}:/usr/bin:/bin"), python=python)
    assert texts([next(records), next(records)]) == [b"one", b"two"]
    records.close()


def test_the_follower_ends_when_its_time_is_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    argv = [sys.executable, follower.__file__, str(tmp_path / "file"), "2", "0.3"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(20) == 0, "its stdin is still open"
        assert process.stdout.read() == b"cdef"


@pytest.mark.parametrize("shell", ["bash", "dash", "busybox", "ksh", "yash"])
def test_every_shell_of_the_family_runs_it(host, tmp_path: Path, shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        # The scripts keep to POSIX; where a shell is missing, the one that is sh here has run all other tests.
        assert shutil.which("sh")
        return
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to(found)
    log = host.log()
    log.take("out", b"one\n")
    records = host.follow(transport=LocalTransport(host.home, path=f"{tools}:/usr/bin:/bin"))
    assert texts([next(records)]) == [b"one"]
    log.take("out", b"two\n")
    log.end("completed", None)
    host.state = RunState("completed")
    assert texts(list(records)) == [b"two"]


@pytest.mark.parametrize(
    "said",
    [
        "fleet-follow 1 2",
        "fleet-follow 0 -5 -",
        "fleet-follow x 0 -",
        "fleet-follow 0 99999999999999999999999 -",
        "fleet-follow 0 5 x",
        "fleet-follow 0 \xd9\xa3 -",
        "a greeting, and then no end of words: ",
    ],
)
def test_a_host_that_says_nonsense_is_an_error(host, said: str) -> None:
    class Lying(LocalTransport):
        def stream_out(self, cmd, *, deadline):
            line = 'printf "%b\\n" "$0"; [ "${0#a greeting}" = "$0" ] || head -c 65600 /dev/zero'
            return super().stream_out(Cmd(("sh", "-c", line, said)), deadline=deadline)

    with pytest.raises(RemoteFailed, match="where a log should begin"):
        list(host.follow(transport=Lying(host.home)))


def test_a_host_that_sends_other_bytes_than_frames_shows_nothing_of_them(host) -> None:
    class Lying(LocalTransport):
        def stream_out(self, cmd, *, deadline):
            text = "fleet-follow 0 0 -\\n1\\t2\\n\\033[2J\\n"
            return super().stream_out(Cmd(("sh", "-c", 'printf "%b" "$0"; sleep 1', text)), deadline=deadline)

    host.log()
    records = host.follow(transport=Lying(host.home))
    assert [type(next(records)) for _ in range(2)] == [Torn, Torn]
    records.close()
