"""Targets 11, 12 and 14: starts at the same time, stops of trainers that resist, controllers that are killed.

    python -m tests.perf.fleet_runs --count 200

`--count` is the number of stops; of simultaneous starts there are a quarter, and of killed controllers half as many.
Trainers are stand-ins without torch that keep a run directory as the real one does.
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.farm.processes import process
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.perf.host_runs import HostRuns, Run, code_of, eventually
from tests.perf.measuring import Sheet, begin, parser
from tests.perf.programs import answer, fleet, scratch
from tests.perf.projects import Project

BUSY, INCOMPLETE = 6, 12
#: What a trainer does, with how many ranks, and what is killed before the stop.
MATRIX = (
    ("good", 1, None),
    ("deaf", 1, None),
    ("daemon", 1, None),
    ("hidden-daemon", 1, None),
    ("group", 1, None),
    ("good", 2, None),
    ("deaf", 2, None),
    ("good", 2, "leader"),
    ("deaf", 2, "leader"),
    ("good", 1, "supervisor"),
    ("daemon", 1, "supervisor"),
    ("deaf", 2, "supervisor"),
)


def measure_simultaneous(sheet: Sheet, folder: Path, farm: Farm, count: int) -> None:
    """Many `fleet train` want the same host at once."""
    project = Project(folder / "simultaneous", farm)
    started = time.perf_counter()
    controllers = [project.train() for _ in range(count)]
    said = [controller.communicate(timeout=600) for controller in controllers]
    taken = time.perf_counter() - started
    codes = Counter(controller.returncode for controller in controllers)
    alive = project.live()
    named = sum(len(alive) == 1 and alive[0] in out + err for out, err in said) - 1
    project.clear()
    for controller, (_, err) in zip(controllers, said, strict=True):
        if controller.returncode not in (0, BUSY):
            print(err, file=sys.stderr)
    sheet.count("simultaneous starts that succeeded", codes[0], count, at_most=1, at_least=1)
    sheet.count("simultaneous starts refused with 6", codes[BUSY], count, at_least=count - 1)
    sheet.count("live runs after simultaneous starts", len(alive), count, at_most=1, at_least=1)
    sheet.number("refusals that name the holder", named, f"of {count - 1}")
    sheet.number("simultaneous starts, all answered", taken, "s")


def measure_stops(sheet: Sheet, folder: Path, farm: Farm, count: int) -> None:
    """Stops, over everything that a trainer can do against them."""
    runs = HostRuns(folder / "stops", farm)
    survivors, unexplained, times = [], [], []
    for number, (behaviour, nproc, killed) in zip(range(count), itertools.cycle(MATRIX), strict=False):
        what = f"stop {number}: {behaviour} × {nproc}, killed before: {killed}"
        run = runs.prepare(behaviour, nproc=nproc, grace=1)
        runs.start(run)
        assert eventually(partial(trains, run, 1), 30), f"{what}: it does not train"
        if killed is not None:
            kill(runs, run, killed)
        # After the death of its launcher a run ends by itself, maybe before it is asked to.
        gone = killed == "leader" and eventually(partial(ended, runs, run), 10)
        started = time.perf_counter()
        done = fleet("stop", "h0", "--run", run.id, "--grace", "1", "--json", cwd=runs.project, expect=None)
        times.append(time.perf_counter() - started)
        if left := runs.left(run):
            survivors.append(f"{what}: {[(one.pid, one.argv()) for one in left]}")
        problem = over(done) if gone else unproven(done, run, behaviour, killed)
        if problem is not None:
            unexplained.append(f"{what}: {problem}: {done.stdout} {done.stderr}")
        runs.clear(run)
    for line in [*survivors, *unexplained]:
        print(line, file=sys.stderr)
    sheet.count("stops with survivors", len(survivors), count, at_most=0)
    sheet.count("stops whose checkpoint is neither proven nor reported missing", len(unexplained), count, at_most=0)
    sheet.series("stop", times, "s")


def last_step(run: Run) -> int:
    """The step in progress.json."""
    file = run.path / "progress.json"
    return int(json.loads(file.read_text())["step"]) if file.exists() else 0


def trains(run: Run, beyond: int) -> bool:
    """Whether the trainer has made a step after this one."""
    return last_step(run) > beyond


def kill(runs: HostRuns, run: Run, which: str) -> None:
    """Kill the launcher or the supervisor with 9."""
    pids = runs.supervisors(run) if which == "supervisor" else [int(run.state()["leader"]["pid"])]
    assert pids, f"{run.id} has no {which}"
    for pid in pids:
        found = process(pid)
        assert found is not None
        found.end(signal.SIGKILL)


def ended(runs: HostRuns, run: Run) -> bool:
    """Whether nothing of the run lives."""
    return not runs.supervisors(run) and not runs.left(run)


def over(done: subprocess.CompletedProcess[str]) -> str | None:
    """What is wrong with what a stop says of a run that had ended."""
    told = answer(done)["h0"] if done.returncode == 0 else []
    right = len(told) == 1 and told[0]["state"] in ("killed", "failed")
    return None if right else f"it exits {done.returncode} for a run whose launcher was killed"


def unproven(done: subprocess.CompletedProcess[str], run: Run, behaviour: str, killed: str | None) -> str | None:
    """What is wrong with what a stop says: a checkpoint must be there if claimed, claimed if there, missed if not."""
    if done.returncode not in (0, INCOMPLETE):
        return f"it exits {done.returncode}"
    [told] = answer(done)["h0"]
    claimed = told["checkpoint"] or {}
    step = claimed.get("step") if claimed.get("verified") else None
    there = [path.parent.name for path in (run.path / "checkpoints").glob("step-*/COMPLETE.json")]
    if step is not None and f"step-{step}" not in there:
        return f"it claims step {step}, and there are {there}"
    if step is None and behaviour != "deaf" and killed is None:
        return f"the trainer saved {there}, and no checkpoint is proven"
    if step is None and (done.returncode != INCOMPLETE or not told["steps_lost"]):
        return f"no checkpoint is proven, yet it exits {done.returncode} and says that {told['steps_lost']} are lost"
    return None


def measure_killed(sheet: Sheet, folder: Path, farm: Farm, count: int) -> None:
    """Controllers killed at a random moment of a start, or cut off; then the same start again."""
    with Proxy(farm.hosts[0].address, farm.hosts[0].port) as proxy:
        runs = HostRuns(folder / "killed", farm, farm.through(0, proxy))
        whole = runs.prepare("good")
        started = time.perf_counter()
        assert runs.controller(whole).wait(60) == 0
        span = time.perf_counter() - started
        runs.clear(whole)
        trees: Counter[int] = Counter()
        wrong, lost, early = [], [], 0
        for number in range(count):
            run = runs.prepare("good")
            controller, moment = runs.controller(run), random.uniform(0, span * 1.1)
            time.sleep(moment)
            dropped = number % 4 == 3
            if dropped:
                proxy.reset_all()
                controller.wait(120)
            else:
                controller.kill()
                controller.wait()
            early += not run.path.exists()
            before = runs.supervisors(run)
            code = code_of(partial(runs.start, run))
            after = runs.supervisors(run)
            trees[len(after)] += 1
            if code != 0 or len(after) != 1 or (before and before != after):
                wrong.append(f"kill {number} after {moment:.3f} s: start again {code}, supervisors {before} {after}")
            # The run that stands now must not care about anything that happens to connections.
            proxy.reset_all()
            step = last_step(run)
            if not eventually(partial(trains, run, step), 10):
                lost.append(f"kill {number}: the run stands still at step {step}")
            runs.clear(run)
        trained = measure_killed_trains(Project(folder / "trains", farm, runs.host), count)
    for line in [*wrong, *lost, *trained]:
        print(line, file=sys.stderr)
    sheet.number("controllers killed before the run directory was there", early, f"of {count}")
    sheet.count("runs with exactly one process tree", trees[1], count, at_least=count)
    sheet.count("starts after a kill that went wrong", len(wrong), count, at_most=0)
    sheet.count("runs that did not survive a dropped link", len(lost), count, at_most=0)
    sheet.count("`fleet train` killed and repeated: other than one run", len(trained), count, at_most=0)


def measure_killed_trains(project: Project, count: int) -> list[str]:
    """`fleet train` killed at a random moment, then repeated: what was not one run in the end."""
    started = time.perf_counter()
    assert project.train().wait(120) == 0
    span = time.perf_counter() - started
    project.clear()
    wrong = []
    for number in range(count):
        controller, moment = project.train(), random.uniform(0, span * 1.1)
        time.sleep(moment)
        controller.kill()
        controller.communicate()
        before = project.live()
        again = project.train()
        _, err = again.communicate(timeout=120)
        after = project.live()
        # A run that stands already is found busy; otherwise the second call starts the only one.
        if again.returncode not in (0, BUSY) or len(after) != 1 or (before and before != after):
            wrong.append(f"train {number} killed after {moment:.3f} s: {again.returncode} {before} {after} {err}")
        project.clear()
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    description = parser(__doc__, 200)
    parts = {
        "simultaneous": measure_simultaneous,
        "stops": measure_stops,
        "killed": measure_killed,
    }
    description.add_argument("--only", choices=parts, help="one part")
    options = description.parse_args(arguments)
    begin(options.seed)
    sheet = Sheet("Runs", options.slack)
    counts = {"simultaneous": options.count // 4, "killed": options.count // 2}
    for name, measure in parts.items():
        if options.only in (None, name):
            with scratch() as folder, Farm(folder / "farm", 1) as farm:
                measure(sheet, folder, farm, max(2, counts.get(name, options.count)))
    return sheet.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
