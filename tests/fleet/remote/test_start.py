"""Starting: confirmed only by signs of life, once for each run, and with nothing left behind when it is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.remote.frames import escape
from hydra.runs import lock_status, observed_state
from tests.fleet.remote.hosts import Host, wait_for

#: Starts at once for one reservation. The target (fleet.md 11.2, 14) is 50.
AT_ONCE = 20

SILENT = "import time\nopen(__import__('os').environ['FLEET_RUN_DIR'] + '/manifest.yaml', 'w')\ntime.sleep(600)\n"
BROKEN = "import sys\nfor n in range(30): print('line', n, file=sys.stderr)\nimport no_such_module\n"


def test_a_start_is_confirmed_by_a_line(host: Host) -> None:
    answer = host.start("run-a")
    assert answer["state"] == "running" and answer["confirmed"] == "line" and not answer["existing"]
    state, supervisor = host.state("run-a"), host.supervisor("run-a")
    assert answer["supervisor"] == {"pid": supervisor.pid, "start": supervisor.start}
    assert state.supervisor is not None and state.supervisor.pid == supervisor.pid
    assert state.release == "r1" and state.node_count == 1
    directory = host.directory("run-a")
    assert observed_state(directory).state == "running" and observed_state(directory).reason == ""
    holder = lock_status(directory.supervisor_lock).holder
    assert holder is not None and holder.process.pid == supervisor.pid


def test_a_silent_start_is_confirmed_by_time(host: Host) -> None:
    host.release("silent", {"trainer.py": SILENT})
    answer = host.start("run-a", release="silent", confirm_seconds=0.3)
    assert answer["confirmed"] == "alive" and answer["state"] == "running"


def test_a_start_that_dies_says_its_last_words(host: Host) -> None:
    """A traceback is a line on stderr, and no sign of life."""
    host.release("broken", {"trainer.py": BROKEN})
    answer = host.start("run-a", release="broken", max_restarts=0)
    assert answer["state"] == "failed" and answer["confirmed"] is None and answer["restart_in"] is None
    assert len(answer["lines"]) == 20 and answer["lines"][-1].startswith("ModuleNotFoundError: No module named")
    assert answer["exit"]["culprit"]["exception"] == "ModuleNotFoundError" and answer["exit"]["code"] == 1
    assert host.wait_state("run-a").state == "failed"


def test_a_program_that_cannot_be_executed_is_an_ending(host: Host, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o755)
    answer = host.start("run-a", python=str(script))
    assert answer["state"] == "failed" and answer["exit"]["kind"] == "FileNotFoundError"
    assert host.wait_state("run-a").state == "failed"


def test_a_repeated_start_gives_the_existing_run(host: Host) -> None:
    first = host.start("run-a")
    again = host.start("run-a")
    assert again["existing"] and again["state"] == "running" and again["supervisor"] == first["supervisor"]
    host.stop("run-a")
    ended = host.start("run-a")
    assert ended["existing"] and ended["state"] == "stopped" and ended["confirmed"] is None
    assert ended["lines"][-1].startswith("step") and ended["attempt"] == 1


def test_two_starts_of_one_run_at_once_make_one(host: Host) -> None:
    both = [host.process("start", host.launch("run-a")) for _ in range(2)]
    answers = [host.outcome(one) for one in both]
    assert [status for status, _ in answers] == [0, 0]
    assert sorted(answer["existing"] for _, answer in answers) == [False, True]
    assert len({answer["supervisor"]["pid"] for _, answer in answers}) == 1
    assert len([frame for frame in host.frames("run-a") if frame.text.startswith("begins")]) == 1


def test_many_starts_at_once_for_one_device_make_one_run(host: Host) -> None:
    """The others are busy, name the holder, and leave no directory."""
    gpus = [{"index": 0, "uuid": f"GPU-{host.deploy_dir.stat().st_ino}"}]
    all_of_them = [host.process("start", host.launch(f"run-{n}", gpus=gpus)) for n in range(AT_ONCE)]
    answers = [host.outcome(one) for one in all_of_them]
    assert sorted(status for status, _ in answers) == [0] + [75] * (AT_ONCE - 1)
    [run] = [answer["run"] for status, answer in answers if status == 0]
    told = [answer["error"]["what"] for status, answer in answers if status == 75]
    assert told == [f"GPU {gpus[0]['uuid']} is held by {run}"] * (AT_ONCE - 1)
    assert [path.name for path in (host.deploy_dir / "runs").iterdir()] == [run]


def test_runs_without_devices_wait_for_each_other_in_one_deploy_dir_only(hosts: Callable[..., Host]) -> None:
    one, other = hosts("one"), hosts("other")
    one.start("run-a")
    status, answer = one.ask("start", **one.launch("run-b"))
    assert status == 75 and answer["error"]["kind"] == "busy" and answer["error"]["what"].endswith("is held by run-a")
    assert other.start("run-b")["state"] == "running"


def test_a_live_run_of_the_same_name_is_in_the_way(host: Host) -> None:
    host.start("run-a", name="lm", gpus=[{"index": 0, "uuid": "GPU-name-1"}])
    status, answer = host.ask("start", **host.launch("run-b", name="lm", gpus=[{"index": 1, "uuid": "GPU-name-2"}]))
    assert status == 75 and answer["error"]["what"] == "the run name lm is held by run-a"


def test_leftovers_of_a_lost_run_are_named(host: Host) -> None:
    host.start("run-a", "launcher.py", gpus=[{"index": 0, "uuid": "GPU-left"}])
    wait_for(lambda: len(host.processes("run-a")) == 3, "both workers")
    host.kill_supervisor("run-a")
    again = host.launch("run-b", gpus=[{"index": 0, "uuid": "GPU-left"}])
    status, answer = host.ask("start", **again)
    assert status == 75
    assert "of run run-a is left on GPU-left" in answer["error"]["what"]
    assert not host.directory("run-b").path.exists()
    assert host.start("run-c", gpus=[{"index": 1, "uuid": "GPU-free"}])["state"] == "running"
    host.stop("run-a")
    assert host.start("run-b", gpus=[{"index": 0, "uuid": "GPU-left"}])["state"] == "running"


def test_what_is_missing_is_named_before_anything_is_made(host: Host) -> None:
    cases = [
        ({"release": "nothing"}, "release nothing is not in"),
        ({"release": None}, "release current is not in"),
        ({"environment": "e1"}, "environment e1 is not ready"),
        ({"python": "envs/e1/bin/python"}, "is no program that this user may run"),
        ({"secrets": "absent"}, "secrets absent cannot be read"),
        ({"resume": True}, "there is no run run-a to resume"),
    ]
    for changes, words in cases:
        status, answer = host.ask("start", **host.launch("run-a", **changes))
        assert (status, answer["error"]["kind"]) == (1, "not-found") and words in answer["error"]["what"]
    assert not (host.deploy_dir / "runs").exists()


def test_a_folder_that_cannot_be_written_is_told_in_the_systems_words(host: Host) -> None:
    (host.deploy_dir / "runs").write_text("a file in the way")
    status, answer = host.ask("start", **host.launch("run-a"))
    assert status == 1 and answer["error"]["kind"] == "remote"
    assert "File exists" in answer["error"]["what"] or "Not a directory" in answer["error"]["what"]


def test_current_is_resolved_once(host: Host) -> None:
    current = host.deploy_dir / "hosts" / host_machine() / "current"
    current.parent.mkdir(parents=True)
    current.symlink_to("../../releases/r1")
    host.start("run-a", release=None)
    host.release("r2", {})
    current.unlink()
    current.symlink_to("../../releases/r2")
    row = host.row("run-a")
    assert row["release_path"] == str((host.deploy_dir / "releases" / "r1").resolve()) and row["release"] == "r1"
    leader = host.state("run-a").leader
    assert leader is not None
    assert Path(f"/proc/{leader.pid}/cwd").readlink() == (host.deploy_dir / "releases" / "r1").resolve()


def test_records_hold_the_launch_and_no_secret(host: Host) -> None:
    secrets = host.deploy_dir / "secrets"
    secrets.mkdir()
    (secrets / "main.env").write_text("WANDB_API_KEY=canary-4711\nEMPTY=\n")
    (secrets / "main.env").chmod(0o600)
    shown = "import os\nkey = os.environ['WANDB_API_KEY']\nprint('key is', key, flush=True)\n"
    shown += "raise ValueError('bad ' + key)\n"
    host.release("shown", {"trainer.py": shown})
    host.start("run-a", release="shown", secrets="main", env={"OMP_NUM_THREADS": "2"}, record={"commit": "abc"})
    state = host.wait_state("run-a")
    assert state.exit is not None and state.exit.culprit is not None
    assert state.exit.culprit.message == "bad [redacted]"
    assert host.frames("run-a")[0].text == escape(b"key is [redacted]").decode()
    directory = host.directory("run-a").path
    assert json.loads((directory / "run.json").read_text())["commit"] == "abc"
    told = json.loads((directory / "launch.json").read_text())
    assert told["secrets"] == "main" and told["env"] == {"OMP_NUM_THREADS": "2"} and told["python"] == sys.executable
    texts = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    assert not [text for text in texts if b"canary-4711" in text]


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_secrets_that_others_can_read_are_refused(host: Host, mode: int) -> None:
    secrets = host.deploy_dir / "secrets" / "main.env"
    secrets.parent.mkdir()
    secrets.write_text("A_KEY=x\n")
    secrets.chmod(mode)
    status, answer = host.ask("start", **host.launch("run-a", secrets="main"))
    assert status == 1 and answer["error"]["kind"] == "blocked" and "other users" in answer["error"]["what"]


def host_machine() -> str:
    """The folder name of this machine."""
    from hydra.runs import machine_id

    return machine_id()
