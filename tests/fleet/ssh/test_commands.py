"""Commands over a real sshd: output, statuses, signals, input, deadlines, and lost ends."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.errors import DeadlinePassed
from fleet.ssh import Cmd, Deadline, Endpoint, Pool, SshTransport
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import sh, soon, wait_for


def test_output_and_status(box: SshTransport) -> None:
    result = box.exec(sh("echo out; echo err >&2; exit 3"), deadline=soon())
    assert (result.rc, result.out, result.err) == (3, b"out\n", b"err\n")
    assert not result.ok


def test_a_login_has_its_home(box: SshTransport) -> None:
    assert box.exec(sh('test "$PWD" = "$HOME" && echo "$FLEET_HOST"'), deadline=soon()).out == b"h0\n"


@pytest.mark.parametrize(("name", "status"), [("KILL", 137), ("TERM", 143), ("SEGV", 139), ("USR1", 138)])
def test_a_signal_is_128_plus_its_number(box: SshTransport, name: str, status: int) -> None:
    # The login shell becomes this command, so sshd reports the signal's name and no status.
    assert box.exec(sh(f"kill -{name} $$"), deadline=soon()).rc == status
    # Here a shell reports the status of what died in it.
    assert box.exec(sh(f"(kill -{name} $(exec sh -c 'echo $PPID')); exit $?"), deadline=soon()).rc == status


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(words=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=4))
def test_arguments_arrive_as_given(box: SshTransport, words: list[str]) -> None:
    result = box.exec(Cmd(("printf", "%s\\0", *words)), deadline=soon())
    assert result.out == "".join(f"{word}\0" for word in words or [""]).encode()


def test_the_folder_comes_first(box: SshTransport) -> None:
    assert box.exec(Cmd(("pwd",), cwd="/"), deadline=soon()).out == b"/\n"
    assert box.exec(Cmd(("pwd",), cwd="/no such folder"), deadline=soon()).rc != 0


def test_binary_data_both_ways(box: SshTransport) -> None:
    data = bytes(range(256)) * 20_000
    assert box.exec(Cmd(("cat",)), stdin=data, deadline=soon()).out == data


def test_large_output_on_both_streams(box: SshTransport) -> None:
    """Beyond the 2 MiB that a channel holds unread, and with the streams taking turns."""
    text = "for i in 1 2 3 4; do head -c 1500000 /dev/zero; head -c 1500000 /dev/zero >&2; done"
    result = box.exec(sh(text), deadline=soon())
    assert (len(result.out), len(result.err)) == (6_000_000, 6_000_000)


def test_output_while_input_is_fed(box: SshTransport) -> None:
    """A command that answers more than it is asked would stop for ever if nobody read while feeding it."""
    chunks = (os.urandom(1 << 20) for _ in range(8))
    result = box.stream_in(sh("tee /dev/stderr"), chunks, deadline=soon())
    assert len(result.out) == len(result.err) == 8 << 20
    assert result.out == result.err


def test_a_sink_gets_output_as_it_comes(box: SshTransport, tmp_path: Path) -> None:
    """The command goes on only once its first line has been seen here."""
    flag, seen = tmp_path / "go on", []

    def sink(stream: str, data: bytes) -> None:
        seen.append((stream, data))
        flag.touch()

    text = 'echo first; until [ -e "$0" ]; do sleep 0.01; done; echo second >&2'
    result = box.exec(sh(text, str(flag)), deadline=soon(), sink=sink)
    assert (result.rc, result.out, result.err) == (0, b"", b"")
    assert seen == [("out", b"first\n"), ("err", b"second\n")]


def test_a_stream_arrives_whole(box: SshTransport, tmp_path: Path) -> None:
    chunks = [os.urandom(size) for size in (1, 0, 32_703, 32_704, 32_705, 1 << 20, 3)]
    result = box.stream_in(Cmd(("sha256sum",)), chunks, deadline=soon())
    assert result.out.split()[0].decode() == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_the_server_changes_keys_in_the_middle(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm]
) -> None:
    """Many times in each direction, with commands side by side, and on one connection."""
    host = farm(1, config=("RekeyLimit 1M", "LogLevel DEBUG1")).hosts[0]
    box = pool.to(endpoint(host))
    data = os.urandom(1 << 20)
    with ThreadPoolExecutor(3) as threads:
        digest = threads.submit(box.stream_in, Cmd(("sha256sum",)), itertools.repeat(data, 10), deadline=soon())
        zeros = threads.submit(box.exec, sh("head -c 10000000 /dev/zero"), deadline=soon())
        both = threads.submit(box.exec, Cmd(("cat",)), stdin=data * 5, deadline=soon())
        assert digest.result().out.split()[0].decode() == hashlib.sha256(data * 10).hexdigest()
        assert zeros.result().out == bytes(10_000_000)
        assert both.result().out == data * 5
    log = host.log.read_text()
    assert log.count("SSH2_MSG_NEWKEYS received") > 10
    assert log.count("Accepted publickey") == 1


def test_a_command_that_ends_early_is_fed_no_more(box: SshTransport) -> None:
    given_out = itertools.count()

    def endless() -> Iterator[bytes]:
        while True:
            next(given_out)
            yield bytes(1 << 16)

    assert box.stream_in(sh("head -c 100 | wc -c; exit 5"), endless(), deadline=soon()).rc == 5
    assert next(given_out) < 1000


def test_a_command_that_closes_its_input_is_fed_no_more(box: SshTransport) -> None:
    """It goes on without reading: sshd says that nobody reads, and the rest is not sent."""
    result = box.stream_in(sh("exec 0<&-; sleep 0.3; echo done"), itertools.repeat(bytes(1 << 16)), deadline=soon())
    assert (result.rc, result.out) == (0, b"done\n")


def test_failing_chunks_end_the_command(box: SshTransport, tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"some"
        raise FileNotFoundError("gone in the middle")

    ended = tmp_path / "ended"
    with pytest.raises(FileNotFoundError, match="gone in the middle"):
        box.stream_in(sh('cat >/dev/null; touch "$0"', str(ended)), chunks(), deadline=soon())
    wait_for(ended.exists)
    assert box.exec(Cmd(("true",)), deadline=soon()).ok


def test_a_deadline_is_kept(box: SshTransport) -> None:
    box.open(soon())
    began = time.monotonic()
    with pytest.raises(DeadlinePassed, match=r"the command on h0 did not end within 0\.3 s"):
        box.exec(sh("sleep 1"), deadline=Deadline.after(0.3))
    with pytest.raises(DeadlinePassed):
        box.stream_in(sh("sleep 1"), itertools.repeat(bytes(1 << 16)), deadline=Deadline.after(0.3))
    with box.stream_out(sh("echo 1; sleep 1"), deadline=Deadline.after(0.3)) as output, pytest.raises(DeadlinePassed):
        list(output)
    assert time.monotonic() - began < 3
    assert box.exec(Cmd(("true",)), deadline=soon()).ok


def test_output_line_by_line(box: SshTransport) -> None:
    with box.stream_out(sh("echo 1; sleep 0.1; echo 2; echo complaint >&2; exit 4"), deadline=soon()) as output:
        assert b"".join(output) == b"1\n2\n"
        result = output.result()
    assert (result.rc, result.out, result.err) == (4, b"", b"complaint\n")


def test_closing_ends_a_command_that_reads_its_input(box: SshTransport, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    output = box.stream_out(sh('echo up; cat; touch "$0"', str(ended)), deadline=soon())
    assert next(iter(output)) == b"up\n"
    output.close()
    output.close()
    wait_for(ended.exists)
    assert list(output) == []
