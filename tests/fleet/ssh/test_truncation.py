"""An output that was cut off is never taken for a whole one, although the status of its command has come.

sshd tells the status as soon as the process ends, before the rest of what it wrote has left the pipe.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.errors import RemoteFailed
from fleet.ssh import Cmd, Pool, SshTransport, retried
from fleet.ssh.failures import ConnectionLost
from tests.fleet.ssh.scene import soon
from tests.fleet.ssh.scripted import Stage, scripted

CMD = Cmd(("cat", "log"))
SOME, REST = b"the first half\n", b"the second half\n"


def cut_off(stage: Stage) -> None:
    """Status, then only some of the output."""
    stage.status(0)
    stage.out(SOME)


def cut_off_by_signal(stage: Stage) -> None:
    """As above, of a command that was killed."""
    stage.signal("KILL")
    stage.out(SOME)


def ended(stage: Stage) -> None:
    """All of the output, and its end; the channel itself is never closed."""
    stage.status(3)
    stage.out(SOME + REST)
    stage.eof()


def closed(stage: Stage) -> None:
    """All of the output, whose end is told by the end of the channel alone."""
    stage.status(3)
    stage.out(SOME + REST)
    stage.close()


def unstated(stage: Stage) -> None:
    """The end of the output, and no status."""
    stage.out(SOME + REST)
    stage.eof()


def by_exec(box: SshTransport) -> tuple[int, bytes]:
    result = box.exec(CMD, deadline=soon())
    return result.rc, result.out


def by_stream_in(box: SshTransport) -> tuple[int, bytes]:
    result = box.stream_in(CMD, [b"some ", b"input"], deadline=soon())
    return result.rc, result.out


def by_stream_out(box: SshTransport) -> tuple[int, bytes]:
    with box.stream_out(CMD, deadline=soon()) as output:
        out = b"".join(output)
        return output.result().rc, out


Verb = Callable[[SshTransport], tuple[int, bytes]]
VERBS = pytest.mark.parametrize("verb", [by_exec, by_stream_in, by_stream_out])


@VERBS
@pytest.mark.parametrize("play", [cut_off, cut_off_by_signal, unstated])
def test_a_status_before_a_cut_does_not_count(
    pool: Pool, tmp_path: Path, verb: Verb, play: Callable[[Stage], None]
) -> None:
    with scripted(tmp_path, play) as server, pytest.raises(ConnectionLost, match="the connection to box was lost"):
        verb(pool.to(server.endpoint))


@VERBS
@pytest.mark.parametrize("play", [ended, closed])
def test_a_status_counts_once_the_output_has_ended(
    pool: Pool, tmp_path: Path, verb: Verb, play: Callable[[Stage], None]
) -> None:
    """Also when the connection goes at once: nothing is missing."""
    with scripted(tmp_path, play) as server:
        assert verb(pool.to(server.endpoint)) == (3, SOME + REST)


def test_pieces_before_a_cut_are_handed_over_and_the_end_is_an_error(pool: Pool, tmp_path: Path) -> None:
    with scripted(tmp_path, cut_off) as server:
        pieces = iter(pool.to(server.endpoint).stream_out(CMD, deadline=soon()))
        assert next(pieces) == SOME
        with pytest.raises(ConnectionLost):
            next(pieces)


@VERBS
def test_what_only_reads_is_tried_again(pool: Pool, tmp_path: Path, verb: Verb) -> None:
    """Until its output is whole, on a connection of its own each time."""
    with scripted(tmp_path, cut_off, cut_off, ended) as server:
        box = pool.to(server.endpoint)
        assert retried(lambda: verb(box), deadline=soon()) == (3, SOME + REST)
        assert server.connections == 3


def test_it_is_given_up_after_three_cuts(pool: Pool, tmp_path: Path) -> None:
    with scripted(tmp_path, cut_off, cut_off, cut_off) as server:
        box = pool.to(server.endpoint)
        with pytest.raises(ConnectionLost):
            retried(lambda: by_exec(box), deadline=soon())
        assert server.connections == 3


def test_closing_before_the_end_is_no_success(pool: Pool, tmp_path: Path) -> None:
    """The status is there; the output is not, since nobody waited for it."""

    def waiting(stage: Stage) -> None:
        stage.status(0)
        stage.out(SOME)
        stage.gone()

    with scripted(tmp_path, waiting) as server:
        output = pool.to(server.endpoint).stream_out(CMD, deadline=soon())
        assert next(iter(output)) == SOME
        output.close()
        with pytest.raises(RemoteFailed, match="its session was closed while it ran"):
            output.result()
