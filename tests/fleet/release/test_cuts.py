"""However a connection ends, the host has the old release or the new one, whole; and the next deploy cleans up."""

from __future__ import annotations

import contextlib
import fcntl
import random
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest

from fleet.errors import Busy, RemoteFailed, Unreachable, Unverified
from fleet.release import Tree, deploy, plan_deploy, rollback, scan
from fleet.release.script import receive_command
from fleet.release.steps import prepared
from fleet.release.upload import Upload
from fleet.ssh import Cmd
from tests.fleet.release.places import Host, PlainTransport, seen, soon, write
from tests.fleet.release.wires import FailingTransport, Failure

#: Cuts of each kind; the nightly table counts 1,000.
CUTS = 6


@pytest.fixture
def old(host: Host, place: Path) -> Tree:
    """A release that is current."""
    write(place / "old", {"a": b"1", "same/x": b"x" * 3000, "same/y": b"y", "gone": b"g"})
    tree = scan(place / "old", cache=place / "cache")
    host.deploy(tree)
    return tree


@pytest.fixture
def fresh(place: Path, old: Tree) -> Tree:
    """What shall replace it, an increment."""
    write(place / "fresh", {"a": b"2" * 700, "same/x": b"x" * 3000, "same/y": b"y", "link": "a", "n/w": (b"n", True)})
    return scan(place / "fresh", cache=place / "cache")


def offsets(size: int) -> list[int]:
    """Random places in a stream, the ends of blocks, and its last bytes."""
    draw = random.Random(size)
    blocks = draw.sample(range(0, size, 512), min(CUTS // 2, size // 512))
    return sorted({*blocks, *(draw.randrange(size) for _ in range(CUTS // 2)), 0, 1, size - 10_240, size - 1})


def whole(host: Host, tree: Tree) -> None:
    """The current release is exactly this tree."""
    assert host.current() == tree.release
    assert seen(host.release(tree.release)) == seen(tree.root)


@pytest.fixture
def other(place: Path) -> Tree:
    """Another that has nothing in common with the old one, so that all of it is sent."""
    write(place / "other", {"o/1": b"1" * 9000, "o/2": (b"2", True), "o/l": "1", "z": b""})
    return scan(place / "other", cache=place / "cache")


@pytest.mark.parametrize("failure", ["close", "kill"])
@pytest.mark.parametrize("increment", [True, False])
def test_a_cut_leaves_the_old_release(
    host: Host, old: Tree, fresh: Tree, other: Tree, failure: Failure, increment: bool
) -> None:
    tree = fresh if increment else other
    cutting = FailingTransport(host.home)
    cutting.failure = failure
    size = host_size(host, tree, files=3 if increment else 4)
    for cutting.at in offsets(size):
        with pytest.raises(Unreachable):
            host.deploy(tree, transport=cutting)
        if host.current() != tree.release:
            whole(host, old)
            assert host.released() == {old.release}
        else:
            # All that matters had arrived: what was cut off is the filling of the archive.
            assert cutting.at >= size - 10_240
            whole(host, tree)
            break
    host.deploy(tree)
    whole(host, tree)
    assert host.left() == []


def host_size(host: Host, tree: Tree, files: int) -> int:
    """Bytes of the stream that a deploy would send, with so many files in it."""
    (step,) = plan_deploy(host.transport, tree, host.deploy_dir, deadline=soon())
    assert step.files == files
    return step.bytes


def test_a_flipped_bit_is_refused_or_means_nothing(host: Host, old: Tree, fresh: Tree) -> None:
    size = host_size(host, fresh, files=3)
    flipping = FailingTransport(host.home)
    flipping.failure = "flip"
    refused = 0
    for flipping.at in offsets(size):
        with contextlib.suppress(RemoteFailed, Unverified):
            host.deploy(fresh, transport=flipping)
        assert host.left() == []
        if host.current() == old.release:
            refused += 1
            whole(host, old)
            continue
        whole(host, fresh)
        rollback(host.transport, host.deploy_dir, deadline=soon())
        host.release(fresh.release).rename(host.home / f"kept-{flipping.at}")
    assert refused > CUTS // 3


@pytest.mark.parametrize("wrong", range(3))
def test_control_files_must_be_the_announced_ones(host: Host, other: Tree, wrong: int) -> None:
    """A stream that is whole in itself, and not the one that was meant."""
    upload = prepared(other, None)
    manifest, sums = ("0" * 64 if place == wrong else digest for place, digest in enumerate(upload.digests))
    command = receive_command(
        host.deploy_dir,
        "",
        other.release,
        (manifest, sums),
        base="",
        switch=True,
        seconds=60,
        silence=60,
        python="python3",
    )
    stream = b"".join(upload.chunks())
    if wrong == 2:
        stream = stream.replace(sha256(upload._record).hexdigest().encode(), b"0" * 64)
    result = host.transport.stream_in(command, [stream], deadline=soon())
    assert result.rc == 65
    assert b"they arrived damaged" in result.err
    assert host.released() == set()
    assert host.left() == []


def test_a_base_that_was_damaged_is_not_used(host: Host, old: Tree, fresh: Tree) -> None:
    damaged = host.release(old.release) / "same" / "x"
    damaged.chmod(0o644)
    damaged.write_bytes(b"z" * 3000)
    done = host.deploy(fresh)
    assert done.files_reused == 0
    (warning,) = done.warnings
    assert warning.startswith(f"release {old.release} was of no use as a base, so all was sent: ")
    assert "./same/x: FAILED" in warning
    whole(host, fresh)


def test_a_damaged_release_is_made_anew(host: Host, old: Tree, fresh: Tree) -> None:
    host.deploy(fresh)
    damaged = host.release(old.release)
    damaged.chmod(0o755)
    (damaged / "extra").write_bytes(b"1")
    done = host.deploy(old)
    assert done.action == "uploaded"
    (warning,) = done.warnings
    assert warning.startswith(f"release {old.release} on the host was damaged and is sent again: ")
    whole(host, old)
    assert host.left() == []


@pytest.mark.parametrize(("seconds", "silence"), [(2, 60), (60, 2)])
def test_a_silent_link_does_not_hold_the_lock_for_ever(place: Path, seconds: int, silence: int) -> None:
    """The controller is gone without a word; stdin stays open, and the receiver ends by itself."""
    write(place / "p", {"a": b"1"})
    tree = scan(place / "p")
    host = Host(place / "home")
    upload = prepared(tree, None)
    process = PlainTransport(host.home)._start(receiver(host, tree, upload, seconds, silence))
    assert process.stdin is not None
    process.stdin.write(b"".join(upload.chunks())[:600])
    process.stdin.flush()
    began = time.monotonic()
    assert process.wait(20) == 74
    assert time.monotonic() - began < 12
    process.communicate()
    assert host.left() == []
    assert host.deploy(tree).action == "uploaded"


def test_a_slow_link_is_not_a_silent_one(place: Path) -> None:
    write(place / "p", {"a": b"1" * 4000})
    tree = scan(place / "p")
    host = Host(place / "home")
    upload = prepared(tree, None)
    process = PlainTransport(host.home)._start(receiver(host, tree, upload, 60, 3))
    assert process.stdin is not None
    stream = b"".join(upload.chunks())
    pieces = 8
    for number in range(pieces):
        process.stdin.write(stream[len(stream) * number // pieces : len(stream) * (number + 1) // pieces])
        process.stdin.flush()
        time.sleep(1)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and f"installed {tree.release}".encode() in out


def test_a_deploy_waits_for_the_end_of_its_own_upload_that_was_cut(host: Host, old: Tree, fresh: Tree) -> None:
    """The host notices a dead link later than the controller; until then its receiver holds the lock."""
    locks = host.machine / "locks" / "deploy"
    with locks.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ending = threading.Timer(1.5, fcntl.flock, (file, fcntl.LOCK_UN))
        ending.start()
        began = time.monotonic()
        assert deploy(host.transport, fresh, host.deploy_dir, patience=20, deadline=soon()).action == "uploaded"
        ending.join()
        assert 1 < time.monotonic() - began < 15
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Busy):
            deploy(host.transport, old, host.deploy_dir, patience=1, deadline=soon())


def receiver(host: Host, tree: Tree, upload: Upload, seconds: int, silence: int) -> Cmd:
    """The command that receives a whole tree, with limits of its own."""
    return receive_command(
        host.deploy_dir,
        "",
        tree.release,
        upload.digests,
        base="",
        switch=True,
        seconds=seconds,
        silence=silence,
        parts=upload.parts,
        python="python3",
    )
