"""Trainers that behave badly in known ways, without torch: what a run on a host is started with in measurements.

All keep the contract of a run directory: they log, write metrics and progress, and save a checkpoint when told to end,
unless their way of misbehaving is not to.
"""

from __future__ import annotations

from pathlib import Path

#: Started as the trainer: `trainer.py BEHAVIOUR TOKEN`. The token lets processes be found that hide from everything.
TRAINER = '''
import hashlib, json, os, signal, subprocess, sys, time

behaviour, token = sys.argv[1], sys.argv[2]
run, attempt = os.environ["FLEET_RUN_DIR"], int(os.environ["FLEET_ATTEMPT"])
rank = int(os.environ.get("RANK", "0"))
asked = []
step = 0
DAEMON = "import signal, time\\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\\ntime.sleep(600)"


def append(name, row):
    with open(os.path.join(run, name), "a") as file:
        file.write(json.dumps(row) + "\\n")


def replace(path, text):
    with open(path + ".part", "w") as file:
        file.write(text)
    os.rename(path + ".part", path)


def event(kind, **data):
    event.seq += 1
    append("events.jsonl", {"seq": event.seq, "time": time.time(), "attempt": attempt, "step": step, "kind": kind,
                            "level": "info", "rank": 0, "data": data})
event.seq = 0


def save():
    folder = os.path.join(run, "checkpoints", f"step-{step}")
    os.makedirs(folder)
    listed = {}
    for name in ("layout.json", "train.json", "weights.bin"):
        content = os.urandom(1000) if name == "weights.bin" else b"{}"
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
        listed[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    record = {"schema": 1, "step": step, "serial": step, "metric": None, "attempt": attempt, "files": listed}
    replace(os.path.join(folder, "COMPLETE.json"), json.dumps(record))
    replace(os.path.join(run, "checkpoints", "latest"), f"step-{step}\\n")
    event("checkpoint.saved", step=step)


def daemon(environment):
    """A process that nobody waits for, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(sys.executable, [sys.executable, "-c", DAEMON, token], environment)
        os._exit(0)
    os.wait()


signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else lambda *_: asked.append("stop"))
if behaviour == "daemon":
    daemon(os.environ)
if behaviour == "hidden-daemon":
    daemon({"PATH": os.environ["PATH"]})
if behaviour == "group":
    subprocess.Popen([sys.executable, "-c", DAEMON, token], start_new_session=True)
if rank == 0:
    replace(os.path.join(run, "manifest.yaml"), "schema: 1\\n")
    event("run.started", step=0)
print("training begins", flush=True)
while not asked:
    step += 1
    if rank == 0:
        append("metrics.jsonl", {"step": step, "attempt": attempt, "loss": 1 / step, "time": time.time()})
        replace(os.path.join(run, "progress.json"), json.dumps({"step": step, "attempt": attempt, "time": time.time()}))
    print(f"step {step}", flush=True)
    time.sleep(0.02)
if rank == 0:
    save()
    event("run.stopped", step=step)
'''

#: In the place of `torch.distributed.run`: one worker for each rank, in a session of its own as with the real one.
LAUNCHER = """
import os, signal, subprocess, sys

arguments = sys.argv[1:]
count = int(next(a.split("=")[1] for a in arguments if a.startswith(("--nproc-per-node=", "--nproc_per_node="))))
script = next(place for place, a in enumerate(arguments) if a.endswith(".py"))
workers = [
    subprocess.Popen(
        [sys.executable, *arguments[script:]],
        env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)},
        start_new_session=True,
    )
    for rank in range(count)
]


def end(*_):
    for worker in workers:
        worker.send_signal(signal.SIGTERM)


signal.signal(signal.SIGTERM, end)
sys.exit(max(abs(worker.wait()) for worker in workers))
"""


def release(deploy_dir: Path, name: str = "measured") -> str:
    """Put the trainer and the launcher on the host as a release, and return its id."""
    folder = deploy_dir / "releases" / name
    package = folder / "torch" / "distributed"
    package.mkdir(parents=True)
    (folder / "trainer.py").write_text(TRAINER)
    for place in (folder / "torch", package):
        (place / "__init__.py").write_text("")
    (package / "run.py").write_text(LAUNCHER)
    return name
