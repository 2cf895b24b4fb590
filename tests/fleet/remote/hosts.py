"""A host as the agent sees one: a deploy_dir with a release of fake trainers, and the agent run as it is over SSH."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet.remote.atomic import read_json
from fleet.remote.cgroups import RunGroup
from fleet.remote.frames import Frame, parse, segment_offset
from fleet.remote.locks import holder_of
from hydra.runs import RunDirectory, State, read_events, read_state
from tests.farm.processes import Process, carrying, end_all, process
from tests.fleet.remote.programs import PROGRAMS

#: Seconds after which a test gives up waiting; nothing here takes a tenth of it.
PATIENCE = 30.0


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Poll until a condition holds; returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.01)
    return found


def read_only(folder: Path) -> tuple[str, ...]:
    """A command that runs another one where a folder is read-only, as after an error of its disk."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", mount, str(folder))


def without_control_groups() -> tuple[str, ...]:
    """A command that runs another one where no control group can be made: nothing, where that is so anyway."""
    probe = RunGroup.create(f"/probe-{os.getpid()}")
    if probe is None:
        return ()
    probe.remove()
    hide = 'umount -l "$0" && exec "$@"'
    mount = next(parent for parent in Path(probe.path).parents if os.path.ismount(parent))
    return ("unshare", "--mount", "sh", "-c", hide, str(mount))


class Host:
    """One deploy_dir of this machine."""

    def __init__(self, folder: Path, agent: Path, python: str = sys.executable, before: tuple[str, ...] = ()) -> None:
        """`before` is a command that runs the agent, for example under other limits."""
        self.deploy_dir, self._agent, self.python, self.before = folder / "deploy", agent, python, before
        self.release("r1", PROGRAMS)

    def release(self, name: str, files: dict[str, str]) -> Path:
        """Put a release on the host."""
        folder = self.deploy_dir / "releases" / name
        folder.mkdir(parents=True)
        for path, text in files.items():
            (folder / path).write_text(text)
        return folder

    def process(self, command: str, request: dict[str, Any], **options: Any) -> subprocess.Popen[bytes]:
        """The agent, running a command, with its request written."""
        pipe = subprocess.PIPE
        started = subprocess.Popen(
            [*self.before, self.python, "-I", "-S", str(self._agent), command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={"PATH": os.defpath, "HOME": str(self.deploy_dir.parent)},
            **options,
        )
        assert started.stdin is not None
        started.stdin.write(json.dumps(request).encode())
        started.stdin.close()
        started.stdin = None
        return started

    def call(self, command: str, **request: Any) -> dict[str, Any]:
        """The answer of a command that must not be refused."""
        status, answer = self.ask(command, **request)
        assert status == 0, answer
        return answer

    def ask(self, command: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """Status and answer of a command."""
        return self.outcome(self.process(command, {"deploy_dir": str(self.deploy_dir), **request}))

    @staticmethod
    def outcome(started: subprocess.Popen[bytes]) -> tuple[int, dict[str, Any]]:
        """Wait for a command of the agent."""
        out, err = started.communicate(timeout=4 * PATIENCE)
        assert out, err.decode(errors="replace")
        return started.returncode, json.loads(out)

    def launch(self, run: str, *argv: str, **changes: Any) -> dict[str, Any]:
        """A launch request for a program of the release."""
        program = [*argv] or ["trainer.py"]
        return {
            "schema": 1,
            "run": run,
            "name": run,
            "attempt": 1,
            "deploy_dir": str(self.deploy_dir),
            "release": "r1",
            "python": sys.executable,
            "argv": program,
            "resume_argv": [program[0], "--resume", "{run_dir}", *program[1:]],
            "waits": [0.05],
            **changes,
        }

    def start(self, run: str, *argv: str, **changes: Any) -> dict[str, Any]:
        """Start a run that must not be refused."""
        return self.call("start", **self.launch(run, *argv, **changes))

    def stop(self, run: str, **changes: Any) -> dict[str, Any]:
        """Stop a run."""
        return self.call("stop", run=run, **changes)

    def row(self, run: str) -> dict[str, Any]:
        """The run in the list of runs."""
        [found] = self.call("runs", run=run)["runs"]
        return found

    def directory(self, run: str) -> RunDirectory:
        """The run's directory as hydra sees it."""
        return RunDirectory(self.deploy_dir / "runs" / run)

    def state(self, run: str) -> State:
        """The written state, which hydra must accept."""
        found = read_state(self.directory(run).state)
        assert found is not None
        return found

    def wait_state(self, run: str, *states: str) -> State:
        """Wait until the written state is one of these; by default one in which the run has ended."""
        wanted = states or ("completed", "stopped", "failed", "oom", "killed", "lost")
        found: State = wait_for(lambda: self._state_if(run, wanted), f"{run} to be {wanted}")
        return found

    def wait_step(self, run: str, step: int) -> None:
        """Wait until the trainer has come so far."""
        wait_for(lambda: self._step(run) >= step, f"step {step} of {run}")

    def frames(self, run: str) -> list[Frame]:
        """The whole lines of the log, proved to have no gap: offsets add up and numbers follow each other."""
        found, offset = [], 0
        for path in sorted((self.deploy_dir / "runs" / run / "log").glob("*.seg")):
            assert segment_offset(path.name) == offset
            data = path.read_bytes()
            offset += len(data)
            found += [parse(line) for line in data.split(b"\n")[:-1]]
        assert [frame.seq for frame in found] == list(range(1, len(found) + 1))
        return found

    def events(self, run: str) -> list[tuple[str, dict[str, Any]]]:
        """Kinds and data of all events, which hydra must accept."""
        log = read_events(self.directory(run).events)
        assert log.skipped == 0
        assert [event.seq for event in log.events] == list(range(1, len(log.events) + 1))
        return [(event.kind, event.data) for event in log.events]

    def processes(self, run: str) -> list[Process]:
        """What still lives of a run, its supervisor not counted."""
        return carrying({"FLEET_RUN_ID": run, "FLEET_RUN_DIR": str(self.directory(run).path)})

    def supervisor(self, run: str) -> Process:
        """The living supervisor of a run."""
        holder = holder_of(str(self.directory(run).supervisor_lock))
        found = process(holder.pid) if holder is not None else None
        assert found is not None
        return found

    def kill_supervisor(self, run: str) -> None:
        """Kill a supervisor by 9, as the kernel or an operator may."""
        end_all([self.supervisor(run)])

    def close(self) -> None:
        """End everything that tests left here."""
        for run in (self.deploy_dir / "runs").glob("*/supervisor.lock"):
            with contextlib.suppress(AssertionError):
                self.kill_supervisor(run.parent.name)
            end_all(carrying({"FLEET_RUN_DIR": str(run.parent)}))
            told = read_json(str(run.parent / "launch.json")) or {}
            group = RunGroup.at(told.get("control_group"), str(run.parent))
            if group is not None:
                wait_for(lambda found=group: found.remove() or not os.path.exists(found.path), "an empty group")

    def _state_if(self, run: str, wanted: tuple[str, ...]) -> State | None:
        found = read_state(self.directory(run).state)
        return found if found is not None and found.state in wanted else None

    def _step(self, run: str) -> int:
        path = self.directory(run).progress
        return json.loads(path.read_text())["step"] if path.exists() else 0
