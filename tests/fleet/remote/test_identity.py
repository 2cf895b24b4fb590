"""A signal reaches exactly the process that is meant, or nobody."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from fleet.remote import pidfd
from fleet.remote.identity import Identity, NotThatProcess, boot_id, identity_of, is_alive, machine_id, send_signal
from fleet.remote.states import process_of
from hydra.runs import identity as hydra_identity
from tests.fleet.remote.hosts import Host

#: Forged identities, each of which must hit nobody (fleet.md 11.2, 13).
FORGED = 1000
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that nobody may touch."""
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


@pytest.fixture(params=[True, False], ids=["pidfd", "no-pidfd"])
def handles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With handles of processes, and as on a kernel without them."""
    if not request.param:
        monkeypatch.setattr(pidfd, "open_pidfd", lambda pid: None)


def forged(random_source: random.Random, true: Identity) -> Identity:
    """An identity that a stale or hostile file may hold, made from a living process."""
    return random_source.choice(
        [
            lambda: true._replace(start=true.start + random_source.choice([-1, 1]) * random_source.randint(1, 10**6)),
            lambda: true._replace(boot_id=f"{random_source.getrandbits(128):032x}"),
            lambda: true._replace(pid=random_source.choice([0, 1, -1, -true.pid, 1 << 22, 1 << 31, 1 << 40, 1 << 80])),
            lambda: true._replace(pid=os.getppid()),
            lambda: Identity(boot_id(), random_source.randint(2, 30000), random_source.randint(1, 10**7)),
        ]
    )()


@pytest.mark.usefixtures("handles")
def test_forged_identities_hit_nobody(bystander: subprocess.Popen[bytes]) -> None:
    true = identity_of(bystander.pid)
    assert true is not None
    random_source = random.Random(20261120)
    for _ in range(FORGED):
        with pytest.raises(NotThatProcess):
            send_signal(forged(random_source, true), signal.SIGKILL)
    assert bystander.poll() is None and is_alive(true)


@pytest.mark.usefixtures("handles")
def test_the_true_identity_is_hit_once() -> None:
    process = subprocess.Popen(SLEEP)
    true = identity_of(process.pid)
    assert true is not None
    send_signal(true, signal.SIGTERM)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(true), "a zombie has ended"
    with pytest.raises(NotThatProcess, match="has ended"):
        send_signal(true, signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    with pytest.raises(NotThatProcess, match="has ended"):
        send_signal(true, signal.SIGTERM)


def test_a_refusal_says_what_was_found(bystander: subprocess.Popen[bytes]) -> None:
    true = identity_of(bystander.pid)
    assert true is not None
    with pytest.raises(NotThatProcess, match=f"start {true.start}, not {true.start + 1}"):
        send_signal(true._replace(start=true.start + 1), 9)
    with pytest.raises(NotThatProcess, match="an earlier boot"):
        send_signal(true._replace(boot_id="other"), 9)
    with pytest.raises(NotThatProcess, match="no process of a run"):
        send_signal(true._replace(pid=-1), 9)


def test_identities_are_those_of_hydra(bystander: subprocess.Popen[bytes]) -> None:
    theirs = hydra_identity.process_identity(bystander.pid)
    assert theirs is not None
    assert identity_of(bystander.pid) == Identity(str(theirs.boot_id), theirs.pid, theirs.start)
    assert machine_id() == hydra_identity.machine_id()
    assert identity_of(1 << 22) is None


def test_handles_are_made_by_number_where_python_has_no_name_for_them(
    bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.delattr(signal, "pidfd_send_signal")
    with pidfd.opened(bystander.pid) as handle:
        assert handle is not None
        pidfd.send(handle, signal.SIGKILL)
    assert bystander.wait() == -signal.SIGKILL
    with pytest.raises(ProcessLookupError), pidfd.opened(bystander.pid):
        pass


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"leader": None, "boot_id": "b"},
        {"leader": 7, "boot_id": "b"},
        {"leader": {"pid": 7}, "boot_id": "b"},
        {"leader": {"pid": "7", "start": 1}, "boot_id": "b"},
        {"leader": {"pid": True, "start": 1}, "boot_id": "b"},
        {"leader": {"pid": 7, "start": 1}, "boot_id": None},
    ],
)
def test_nonsense_in_a_state_names_nobody(state: dict) -> None:
    assert process_of(state, "leader") is None


def test_a_forged_state_makes_stop_hit_nobody(hosts: Callable[..., Host], bystander: subprocess.Popen[bytes]) -> None:
    """With a free lock, what a state says of pids is not even looked at: processes are known by their environment."""
    host = hosts()
    host.start("run-a", "trainer.py", "--steps", "1")
    host.wait_state("run-a")
    true = identity_of(bystander.pid)
    assert true is not None
    path = host.directory("run-a").state
    forged_state = path.read_text().replace('"completed"', '"running"', 1).replace('"kind": null', '"kind": "x"')
    victim = f'{{"pid": {true.pid}, "start": {true.start}}}'
    path.write_text(forged_state.replace('"leader": {', f'"leader": {victim}, "was": {{', 1))
    host.stop("run-a", kill=True)
    assert bystander.poll() is None
