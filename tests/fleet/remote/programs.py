"""Trainers that are small Python programs: they keep hydra's contract with its supervisor, or break it in one way.

They are written into a release of a test host and run by a real supervisor, without torch.
"""

from __future__ import annotations

#: What they share: the files of a run directory, written as the trainer writes them.
CONTRACT = '''
import hashlib, json, os, shutil, signal, subprocess, sys, time

RUN = os.environ["FLEET_RUN_DIR"]
ATTEMPT = int(os.environ["FLEET_ATTEMPT"])

def path(*names):
    return os.path.join(RUN, *names)

def event(kind, at=None, level="info", **data):
    seq = 1
    if os.path.exists(path("events.jsonl")):
        rows = [json.loads(line) for line in open(path("events.jsonl")) if line.strip()]
        seq = rows[-1]["seq"] + 1 if rows else 1
    row = {"seq": seq, "time": time.time(), "attempt": ATTEMPT, "step": at, "kind": kind, "level": level,
           "rank": 0, "data": data}
    with open(path("events.jsonl"), "a") as file:
        file.write(json.dumps(row) + "\\n")

def progress(step, total=1000):
    beat = {"schema": 1, "attempt": ATTEMPT, "phase": "train", "phase_since": 0.0, "step": step, "total_steps": total,
            "tokens": step, "time": time.time(), "last_step_time": time.time(), "median_step_ms": 1.0,
            "last_saved_step": None}
    with open(path("progress.json.new"), "w") as file:
        json.dump(beat, file)
    os.replace(path("progress.json.new"), path("progress.json"))

def save(step):
    folder = path("checkpoints", ".tmp-step-%d" % step)
    os.makedirs(folder)
    files = {}
    for name, data in (("layout.json", b"{}"), ("train.json", b"{}"), ("shard-00000.safetensors", os.urandom(5000))):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        files[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    others = [name for name in os.listdir(path("checkpoints")) if name.startswith("step-")]
    complete = {"schema": 1, "run": os.environ["FLEET_RUN_ID"], "attempt": ATTEMPT, "step": step,
                "serial": len(others) + 1, "configuration": "c", "world_size": 1, "part": 1, "parts": 1,
                "metric": None, "created": time.time(), "files": files}
    with open(os.path.join(folder, "COMPLETE.json"), "w") as file:
        json.dump(complete, file)
    shutil.rmtree(path("checkpoints", "step-%d" % step), ignore_errors=True)
    os.rename(folder, path("checkpoints", "step-%d" % step))
    event("checkpoint.saved", step, step=step)

def newest():
    steps = [int(name[5:]) for name in os.listdir(path("checkpoints")) if name.startswith("step-")]
    return max(steps, default=0)

def resumed_from():
    """The step to begin at, by the arguments: `--resume DIR` or `--resume DIR@STEP`."""
    if "--resume" not in sys.argv:
        open(path("manifest.yaml"), "w").write("schema: 1\\n")
        event("run.started", 0)
        return 0
    where, _, step = sys.argv[sys.argv.index("--resume") + 1].partition("@")
    assert where == RUN, where
    step = int(step) if step else newest()
    event("run.resumed", step, step=step)
    return step

def fail(code, exception, message="", step=None):
    facts = {"code": code, "exception": exception, "message": message, "rank": 0, "retry": code in (1, 5, 7)}
    os.makedirs(path("crash"), exist_ok=True)
    json.dump(facts, open(path("crash", "rank-0.json"), "w"))
    event("run.failed", step, level="error", **facts)
    sys.exit(code)

asked = []
'''

#: Trains: a step every `--pause` seconds, a checkpoint every `--every` steps, `--steps` in all.
TRAINER = (
    CONTRACT
    + """
def option(name, default):
    return type(default)(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default

signal.signal(signal.SIGTERM, lambda *_: asked.append("TERM"))
steps, every, pause = option("--steps", 100000), option("--every", 10), option("--pause", 0.01)
step = resumed_from()
print("begins at step", step, flush=True)
while step < steps and not asked:
    time.sleep(pause)
    step += 1
    progress(step)
    print("step", step, flush=True)
    if step % every == 0:
        save(step)
if step % every:
    save(step)
event("run.completed" if step == steps else "run.stopped", step, step=step, saved_step=step, code=0)
"""
)

#: Fails at step `--at`, with exit code `--code`, unless it was resumed and `--once` is given.
FAILING = (
    CONTRACT
    + """
def option(name, default):
    return type(default)(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default

step = resumed_from()
if ATTEMPT > 1 and "--once" in sys.argv:
    event("run.completed", step, step=step, saved_step=step, code=0)
    sys.exit(0)
print("begins", flush=True)
for step in range(step + 1, step + option("--at", 1) + 1):
    progress(step)
    save(step)
fail(option("--code", 1), option("--exception", "ValueError"), "no good", step)
"""
)

#: Ignores TERM, and leaves a daemon (two forks, a session of its own, no environment) and a child in another session.
DEAF = (
    CONTRACT
    + """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
step = resumed_from()
save(5)
for step in range(1, 8):
    progress(step)
child = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)", "deaf-child"]
subprocess.Popen(child, start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [*child[:-1], "deaf-daemon"], {})
    os._exit(0)
print("deaf", flush=True)
while True:
    time.sleep(600)
"""
)

#: Starts two workers in sessions of their own, as a launcher does, and waits.
LAUNCHER = (
    CONTRACT
    + """
resumed_from()
worker = "import signal, time; signal.signal(15, signal.SIG_IGN); print('worker', flush=True); time.sleep(600)"
workers = [subprocess.Popen([sys.executable, "-c", worker], start_new_session=True) for _ in range(2)]
print("launched", flush=True)
for one in workers:
    one.wait()
"""
)

#: Writes `--lines` numbered lines of 100 bytes as fast as it can, on both outputs alternately by blocks.
FLOOD = (
    CONTRACT
    + """
resumed_from()
lines = int(sys.argv[sys.argv.index("--lines") + 1])
text = " the quick brown fox jumps over the lazy dog and comes back again for one more round of it"
block = 2000
for first in range(0, lines, block):
    data = b"".join(b"%09d%s\\n" % (n, text.encode()) for n in range(first, min(first + block, lines)))
    stream = sys.stdout if (first // block) % 2 == 0 else sys.stderr
    stream.buffer.write(data)
    stream.buffer.flush()
event("run.completed", 1, step=1, saved_step=1, code=0)
"""
)

#: Writes what a terminal, a parser or a decoder could stumble over, closes stdout, and ends without a newline.
HOSTILE = (
    CONTRACT
    + """
resumed_from()
out = sys.stdout.buffer
out.write(b"\\x1b[2Jescape\\ttab\\rback\\x00nul\\xff\\xfe not utf-8\\n")
out.write(b"9\\t1\\t0\\t0\\tout\\te\\t{}\\n")
out.write("\\u2028 separators \\u202e and \\u009b controls\\n".encode())
out.write(b"long " + b"x" * 100000 + b"\\n")
out.write(b"no newline at the end")
out.flush()
os.close(1)
os.write(2, b"only stderr is left")
time.sleep(0.5)
os.write(2, b", and it ends in the middle")
event("run.completed", 1, step=1, saved_step=1, code=0)
os._exit(0)
"""
)

PROGRAMS = {
    "trainer.py": TRAINER,
    "failing.py": FAILING,
    "deaf.py": DEAF,
    "launcher.py": LAUNCHER,
    "flood.py": FLOOD,
    "hostile.py": HOSTILE,
}
