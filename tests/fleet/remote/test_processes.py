"""Processes of a run are known by environment and ancestry, whatever they did to hide; devices by their reservation."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.remote import cgroups, reservations
from fleet.remote.locks import Held, SupervisorLock, holder_of, is_held
from fleet.remote.processes import Snapshot
from fleet.remote.reservations import Reservation, Reserved
from fleet.remote.reservations import holder_of as reservation_holder
from fleet.remote.sweep import sweep
from hydra.runs import lock_status
from tests.farm.processes import carrying, end_all
from tests.fleet.remote.hosts import Host, wait_for

#: A process that starts another one, and that a third in a session of its own that hides its environment.
FAMILY = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleep)
hidden = subprocess.Popen(sleep, env={}, start_new_session=True)
print(os.getpid(), child.pid, hidden.pid, flush=True)
time.sleep(600)
"""
#: A supervisor in small: adopts orphans, starts a daemon that hides, sweeps without a control group, says what is left.
SWEEPER = """
import os, subprocess, sys, time
from fleet.remote.subreaper import become_subreaper, reap
from fleet.remote.sweep import sweep
from fleet.remote.processes import Snapshot
assert become_subreaper() is None
hide = '''
import os, sys, signal
signal.signal(15, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], {})
'''
subprocess.Popen([sys.executable, "-c", hide], env={"FLEET_RUN_ID": sys.argv[1]}).wait()
def seen():
    # One process by ancestry, and none by environment: before its last exec the daemon still has that.
    found = Snapshot()
    return len(found.of_run(sys.argv[1], os.getpid())), len(found.of_run(sys.argv[1]))
while seen() != (1, 0):
    time.sleep(0.01)
found = Snapshot().of_run(sys.argv[1])
killed, survivors = sweep(sys.argv[1], supervisor=os.getpid(), group=None, pause=lambda seconds: reap())
print(len(found), killed, len(survivors))
"""


@pytest.fixture
def run() -> Iterator[str]:
    """A run id of this test alone; what carries it ends with the test."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    end_all(carrying({"FLEET_RUN_ID": name}))


@pytest.fixture
def family(run: str) -> Iterator[list[int]]:
    """Pids of a parent, its child, and a child without environment."""
    process = subprocess.Popen([sys.executable, "-c", FAMILY], env={"FLEET_RUN_ID": run}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    yield pids
    sweep(run, supervisor=None, group=None)
    process.wait()
    process.stdout.close()


def test_a_family_is_found_and_ended(run: str, family: list[int]) -> None:
    assert [process.pid for process in Snapshot().of_run(run)] == sorted(family)
    assert run in Snapshot().runs() and Snapshot().of_run("another-run") == []
    killed, survivors = sweep(run, supervisor=None, group=None)
    assert killed == 3 and survivors == []
    assert Snapshot().of_run(run) == []


def test_the_hand_that_stops_is_spared(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`stop` may be run from inside of a run's own terminal, and then carries its environment."""
    code = (
        "import sys; from fleet.remote.sweep import sweep; from fleet.remote.processes import Snapshot;"
        "print(len(Snapshot().of_run(sys.argv[1])), sweep(sys.argv[1], supervisor=None, group=None))"
    )
    monkeypatch.setenv("FLEET_RUN_ID", run)
    inner = [sys.executable, "-c", code, run]
    outer = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))", *inner]
    done = subprocess.run(outer, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "0 (0, [])\n", done.stderr


def test_an_adopted_daemon_that_hides_is_ended(run: str) -> None:
    """By environment alone it is not found; by the supervisor's family it is."""
    done = subprocess.run([sys.executable, "-c", SWEEPER, run], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0 1 0\n", done.stderr


def test_ps_names_ranks_devices_and_memory(host: Host) -> None:
    host.start("run-a", "launcher.py", gpus=[{"index": 0, "uuid": "GPU-ps"}])
    wait_for(lambda: len(host.processes("run-a")) == 3, "both workers")
    rows = host.call("ps")["processes"]
    assert [row["role"] for row in rows] == ["supervisor", "rank", "other", "other"]
    leader = rows[1]
    assert leader["rank"] == 0 and leader["gpu"] == "GPU-ps" and leader["command"][1] == "launcher.py"
    assert {row["parent"] for row in rows[2:]} == {leader["pid"]}
    assert all(row["run"] == "run-a" and row["rss"] > 1 << 20 for row in rows)
    assert host.call("ps", run="run-b")["processes"] == []


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.lock"
    assert not is_held(str(path)) and holder_of(str(path)) is None
    with SupervisorLock.take(str(path), attempt=3):
        holder = holder_of(str(path))
        assert is_held(str(path)) and holder is not None and holder.pid == os.getpid()
        seen = lock_status(path)
        assert seen.held and seen.holder is not None and seen.holder.attempt == 3
        began = time.monotonic()
        with pytest.raises(Held, match=str(os.getpid())):
            SupervisorLock.take(str(path), attempt=4)
        assert time.monotonic() - began < 1, "a living holder is not waited for"
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
    assert not is_held(str(path)), "a child that lives on does not keep it"
    child.kill()
    child.wait()
    assert path.read_bytes() == b""


def test_who_looks_at_a_lock_is_not_taken_for_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.lock"
    path.write_text("")
    look = "import fcntl, time; f = open(0); fcntl.flock(f, fcntl.LOCK_SH); print(flush=True); time.sleep(0.3)"
    looker = subprocess.Popen([sys.executable, "-c", look], stdin=path.open(), stdout=subprocess.PIPE)
    assert looker.stdout is not None and looker.stdout.readline()
    SupervisorLock.take(str(path), attempt=1).close()
    looker.wait()
    looker.stdout.close()


def test_reservations_are_all_or_nothing_and_answer_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"fleet/test/{uuid.uuid4()}" for _ in range(3)]
    held = Reservation.take([names[1]], "run-a")
    asked = subprocess.Popen(
        [sys.executable, "-c", f"from fleet.remote.reservations import holder_of; print(holder_of({names[1]!r}))"],
        stdout=subprocess.PIPE,
    )
    while asked.poll() is None:
        held.answer(held.sockets[0])
        time.sleep(0.01)
    assert asked.communicate()[0] == b"run-a\n"
    monkeypatch.setattr(reservations, "PATIENCE", 0.1)
    with pytest.raises(Reserved) as refused:
        Reservation.take(names, "run-b")
    assert refused.value.name == names[1]
    rest = Reservation.take([names[0], names[2]], "run-c")
    assert len(rest.sockets) == 2, "nothing is kept of what was refused"
    rest.close()
    held.close()
    assert reservation_holder(names[1]) is None
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind("\0" + names[1])
        stranger.listen()
        answering = threading.Thread(target=lambda: stranger.accept()[0].sendall(b"\x1b[2J hostile\n"))
        answering.start()
        assert reservation_holder(names[1]) is None
        answering.join()
    Reservation.take(names, "run-d").close()


def test_counters_of_memory_kills_are_read_in_both_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v1" / "box").mkdir(parents=True)
    (tmp_path / "v1" / "box" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\n")
    mounts = (
        f"31 24 0:27 / {tmp_path}/v1 rw shared:9 - cgroup cgroup rw,memory\n"
        f"32 24 0:28 / {tmp_path}/v2 rw - cgroup2 cgroup2 rw\n"
    )
    (tmp_path / "mountinfo").write_text(mounts)
    (tmp_path / "cgroup").write_text("4:cpu,memory:/box\n1:cpu:/\n0::/hidden/by/the/container\n")
    monkeypatch.setattr(cgroups, "_MOUNTS", str(tmp_path / "mountinfo"))
    monkeypatch.setattr(cgroups, "_OWN", str(tmp_path / "cgroup"))
    assert cgroups.own_group(1) == str(tmp_path / "v1" / "box")
    assert cgroups.own_group(2) == str(tmp_path / "v2")
    assert cgroups.shared_oom_kills() == 4
    group = cgroups.RunGroup.create("/d/runs/run-a")
    assert group is None and os.listdir(tmp_path / "v2") == ["memory.events"], "one that cannot kill is not kept"
    monkeypatch.setattr(cgroups.os, "access", lambda *_: True)
    group = cgroups.RunGroup.create("/d/runs/run-a")
    assert group is not None
    (Path(group.path) / "cgroup.kill").write_text("")
    assert cgroups.RunGroup.at(group.path, "/d/runs/run-a") is not None
    assert cgroups.RunGroup.at(group.path, "/other/runs/run-a") is None, "another directory's run of the same id"
    odd = group.path.replace("/v2/", "/v2/../v2/")
    for forged in (str(tmp_path / "v2"), group.path + "x", odd, None, 7):
        assert cgroups.RunGroup.at(forged, "/d/runs/run-a") is None


def test_no_control_group_outlives_its_run(host: Host) -> None:
    host.start("run-a", "trainer.py", "--steps", "1")
    told = json.loads((host.directory("run-a").path / "launch.json").read_text())["control_group"]
    host.wait_state("run-a", "completed")
    assert told is None or not Path(told).exists()
    host.start("run-a", resume=True, attempt=2)
    host.kill_supervisor("run-a")
    host.stop("run-a")
    assert told is None or not Path(told).exists()
