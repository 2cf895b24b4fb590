"""Runs whose supervisor died: told as lost by whoever looks next, resumable, and never mistaken for living ones."""

from __future__ import annotations

import json
import os

from fleet.remote.places import RunFiles
from fleet.remote.segments import Segments
from hydra.runs import RunLock, machine_id, observed_state
from tests.farm.processes import process
from tests.fleet.remote.hosts import Host, wait_for


def rewrite(host: Host, run: str, **fields: object) -> None:
    """Change a state as nobody but a forger would."""
    path = host.directory(run).state
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_killed_supervisor_is_told_by_the_next_reader(host: Host) -> None:
    host.start("run-a")
    host.wait_step("run-a", 3)
    host.kill_supervisor("run-a")
    assert observed_state(host.directory("run-a")).state == "lost"
    row = host.row("run-a")
    assert row["state"] == "lost" and row["reason"] == "the supervisor died without a final record"
    assert not row["live"] and row["ended"] is not None and row["step"] >= 3
    assert observed_state(host.directory("run-a")).state == "lost"
    assert json.loads(host.frames("run-a")[-1].content())["state"] == "lost"


def test_an_event_is_written_only_while_no_trainer_lives(host: Host) -> None:
    host.start("run-a", "trainer.py", "--every", "1000000")
    host.kill_supervisor("run-a")
    host.stop("run-a")
    kinds = [kind for kind, _ in host.events("run-a")]
    assert kinds[-1] == "run.lost"
    # A trainer that holds its lock writes the events itself, so a reader stays out of them.
    host.start("run-b", name="b")
    with RunLock.acquire(host.directory("run-b").lock, attempt=1):
        host.kill_supervisor("run-b")
        assert host.row("run-b")["state"] == "lost"
    assert "run.lost" not in [kind for kind, _ in host.events("run-b")]


def test_a_reboot_is_the_reason(host: Host) -> None:
    host.start("run-a")
    host.kill_supervisor("run-a")
    host.stop("run-a")
    rewrite(host, "run-a", state="running", exit=None, boot_id="00000000-0000-4000-8000-000000000000")
    (host.directory("run-a").path / "log").rename(host.directory("run-a").path / "log.old")
    (host.directory("run-a").path / "log").mkdir()
    row = host.row("run-a")
    assert (row["state"], row["reason"]) == ("lost", "host rebooted")


def test_a_resume_ends_what_the_dead_supervisor_left(host: Host) -> None:
    host.start("run-a", "launcher.py")
    left = wait_for(lambda: host.processes("run-a") if len(host.processes("run-a")) == 3 else [], "both workers")
    host.kill_supervisor("run-a")
    answer = host.start("run-a", "launcher.py", resume=True, attempt=2)
    assert answer["state"] == "running" and answer["attempt"] == 2
    assert not [one for one in left if one.alive()]
    assert [json.loads(f.content())["state"] for f in host.frames("run-a") if f.flags == "e"] == ["lost"]


def test_an_end_that_reached_the_log_is_believed(host: Host) -> None:
    """Killed between its last frame and its last state, a supervisor has told how the run ended."""
    host.start("run-a", "trainer.py", "--steps", "3")
    host.wait_state("run-a", "completed")
    rewrite(host, "run-a", state="running", exit=None)
    row = host.row("run-a")
    assert row["state"] == "completed" and row["exit"]["code"] == 0
    assert host.state("run-a").state == "completed"


def test_another_machines_run_is_left_alone(host: Host) -> None:
    """In a shared home directory a lock that seems free proves nothing."""
    host.start("run-a")
    host.kill_supervisor("run-a")
    host.stop("run-a")
    rewrite(host, "run-a", state="running", exit=None, machine_id="0" * 16)
    before = host.directory("run-a").state.read_bytes()
    row = host.row("run-a")
    assert row["state"] == "running" and "another machine" in row["reason"]
    status, answer = host.ask("stop", run="run-a")
    assert status == 1 and answer["error"]["kind"] == "stop-incomplete"
    status, answer = host.ask("start", **host.launch("run-a", resume=True, attempt=2))
    assert status == 75
    assert host.directory("run-a").state.read_bytes() == before
    assert machine_id() != "0" * 16


def test_a_damaged_run_is_a_row_and_hides_no_other(host: Host) -> None:
    host.start("run-a", "trainer.py", "--steps", "1")
    host.wait_state("run-a")
    runs = host.deploy_dir / "runs"
    (runs / "empty").mkdir()
    (runs / "garbage").mkdir()
    (runs / "garbage" / "state.json").write_text("{not json")
    (runs / "unfinished").mkdir()
    (runs / "unfinished" / "state.json").write_text(
        json.dumps({"run": "unfinished", "attempt": 1, "state": "sleeping"})
    )
    (runs / "Not-An-Id").mkdir()
    (runs / "odd").mkdir()
    odd = {"run": "odd", "attempt": 1, "state": "running", "machine_id": machine_id(), "supervisor": 7, "leader": [1]}
    (runs / "odd" / "state.json").write_text(json.dumps(odd))
    rows = {row["id"]: row for row in host.call("runs")["runs"]}
    assert sorted(rows) == ["empty", "garbage", "odd", "run-a", "unfinished"]
    assert rows["run-a"]["state"] == "completed"
    assert rows["garbage"]["reason"] == "its state cannot be read" and rows["garbage"]["state"] is None
    assert rows["empty"]["reason"] == "it never got as far as a state"
    assert host.call("ps")["processes"] == []
    assert host.ask("stop", run="odd")[0] == 0


def test_a_torn_log_is_closed_and_continued(host: Host) -> None:
    host.start("run-a")
    host.wait_step("run-a", 3)
    host.kill_supervisor("run-a")
    segment = max((host.directory("run-a").path / "log").iterdir())
    with segment.open("ab") as file:
        file.write(b"9")
    host.start("run-a", resume=True, attempt=2)
    host.stop("run-a")
    lines = b"".join(path.read_bytes() for path in sorted(segment.parent.glob("*.seg"))).split(b"\n")
    assert lines.count(b"9") == 1
    numbers = [int(line.split(b"\t")[0]) for line in lines if b"\t" in line]
    assert numbers == list(range(1, len(numbers) + 1))


def test_reading_takes_no_lock_for_longer_than_a_look(host: Host) -> None:
    """Runs are listed every second; a resume at the same moment must not be refused for it."""
    host.start("run-a")
    host.stop("run-a")
    readers = [host.process("runs", {"deploy_dir": str(host.deploy_dir)}) for _ in range(5)]
    assert host.start("run-a", resume=True, attempt=2)["state"] == "running"
    assert all(host.outcome(reader)[0] == 0 for reader in readers)
    supervisor = host.supervisor("run-a")
    assert process(supervisor.pid) is not None and os.path.exists(f"/proc/{supervisor.pid}")


def test_a_segment_is_opened_behind_what_is_there(tmp_path) -> None:
    files = RunFiles(str(tmp_path))
    (tmp_path / "log").mkdir()
    first = Segments(files.log)
    first.end(b"{}")
    first.close()
    second = Segments(files.log)
    assert second.offset == first.offset
    second.close()
