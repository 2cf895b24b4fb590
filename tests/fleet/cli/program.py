"""The trainer of the project that these tests deploy: hydra's contract with its supervisor, without torch.

It takes the real trainer's arguments. `--set notes="..."` says how it behaves: `pause=SECONDS` between steps,
`die=CODE` at once with `say=TEXT` on stderr, `fail=CODE` at the end, `mute` says nothing, `deaf` ignores TERM, `torn`
damages its last checkpoint, `show=NAME` prints an environment variable.
"""

from __future__ import annotations

from tests.fleet.remote.programs import CONTRACT

TRAINER = (
    CONTRACT
    + """
sets = dict(sys.argv[n + 1].split("=", 1) for n, word in enumerate(sys.argv[:-1]) if word == "--set")
if "--resume" in sys.argv:
    sets = {**json.load(open(path("kept.json"))), **sets}
json.dump(sets, open(path("kept.json"), "w"))
notes = dict((word.partition("=")[::2]) for word in sets.get("notes", "").strip('"').split())
steps, every = int(sets["training.steps"]), int(sets.get("checkpoint.every", 10))
pause = float(notes.get("pause", 0.01))
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in notes else lambda *_: asked.append("TERM"))
step = resumed_from()
if "die" in notes:
    print(notes.get("say", ""), file=sys.stderr, flush=True)
    fail(int(notes["die"]), "ValueError", "nothing to train")
if "mute" not in notes:
    print("begins at step", step, flush=True)
if "show" in notes:
    print(notes["show"], "is", os.environ.get(notes["show"]), flush=True)
while step < steps and not asked:
    time.sleep(pause)
    step += 1
    progress(step, steps)
    with open(path("metrics.jsonl"), "a") as file:
        file.write(json.dumps({"step": step, "loss": 1.0 / step, "attempt": ATTEMPT}) + "\\n")
    if "mute" not in notes:
        print("step", step, flush=True)
    if step % every == 0 and "deaf" not in notes:
        save(step)
if step % every:
    save(step)
if "torn" in notes:
    with open(path("checkpoints", "step-%d" % step, "shard-00000.safetensors"), "ab") as file:
        file.write(b"torn")
if "fail" in notes:
    fail(int(notes["fail"]), "ValueError", "no good", step)
event("run.completed" if step == steps else "run.stopped", step, step=step, saved_step=step, code=0)
"""
)

MANIFEST = """schema: 1
name: stand-in
data:
  corpus: {kind: stdlib}
  sequence: 32
tokenizer: {kind: bytes}
model:
  width: 16
  blocks: [{mixer: {kind: softmax, heads: 2}, mlp: {kind: swiglu}}]
optimizer: {kind: adamw, lr: 3.0e-3}
schedule: {kind: wsd, warmup_steps: 0}
training: {steps: 30, batch: 2}
"""
