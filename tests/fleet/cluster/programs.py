"""A release for clusters without torch: a launcher that starts ranks, and ranks that need each other at every step."""

from __future__ import annotations

from tests.fleet.remote.programs import CONTRACT

#: In the place of `torch.distributed.run`: starts the ranks of this node, each in a session of its own. When one fails
#: it sends TERM to the others, waits for them, and prints who was first, as torchrun does. `--blind`: ranks are not its
#: own children, so that nobody else sees how they end. `--barrier`: when its ranks have ended well it waits for those
#: of other nodes, which do not come. `--slow=SECONDS`: it takes so long to tell of a failure. `--talk`: it goes on to
#: write for a while after the good end of its ranks, and fails itself.
LAUNCHER = """
import os, signal, subprocess, sys, threading, time

options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--") and "=" in word)
script = next(place for place, word in enumerate(sys.argv) if word.endswith(".py") and place)
count, node, nodes = int(options["nproc-per-node"]), int(options.get("node-rank", 0)), int(options.get("nnodes", 1))
blind = "import subprocess, sys; code = subprocess.call(sys.argv[2:], env=eval(sys.argv[1])); sys.exit(code % 256)"

def started(argv, env, **options):
    if "--blind" in sys.argv:
        argv, env = [sys.executable, "-c", blind, repr(env), *argv], {"PATH": os.environ["PATH"]}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)

def pump(local, output):
    for line in output:
        sys.stdout.buffer.write(b"[default%d]:" % local + line)
        sys.stdout.buffer.flush()

ranks = [
    started(
        [sys.executable, *sys.argv[script:]],
        env={
            **os.environ, "RANK": str(node * count + local), "LOCAL_RANK": str(local),
            "WORLD_SIZE": str(nodes * count), "MASTER_ADDR": options["master-addr"],
            "MASTER_PORT": options["master-port"],
        },
        start_new_session=True,
    )
    for local in range(count)
]
pumps = [threading.Thread(target=pump, args=(local, rank.stdout)) for local, rank in enumerate(ranks)]
for thread in pumps:
    thread.start()
signal.signal(signal.SIGTERM, lambda *_: [rank.terminate() for rank in ranks])
failed = None
while failed is None and any(rank.poll() is None for rank in ranks):
    time.sleep(0.1)
    # Of those that ended between two looks, the one that was killed was first.
    ended = [local for local, rank in enumerate(ranks) if rank.poll()]
    failed = max(ended, key=lambda local: abs(ranks[local].returncode), default=None)
if failed is None:
    for _ in range(15 if "--talk" in sys.argv else 0):
        print("a line of the launcher", flush=True)
        time.sleep(0.1)
    if "--talk" in sys.argv:
        sys.exit(3)
    time.sleep(300 if "--barrier" in sys.argv else 0)
    sys.exit(0)
for rank in ranks:
    rank.terminate()
for rank, thread in zip(ranks, pumps):
    rank.wait()
    thread.join()
time.sleep(float(options.get("slow", 0)))
code = ranks[failed].returncode
print("Root Cause (first observed failure):\\n[0]:", file=sys.stderr)
print("  rank      : %d (local_rank: %d)" % (node * count + failed, failed), file=sys.stderr)
print("  exitcode  : %d (pid: 1)" % (code - 256 if code > 128 else code), file=sys.stderr)
sys.exit(1)
"""

#: Ranks that agree with rank 0 over TCP at every step. `--pause` seconds a step, a checkpoint every `--every` steps,
#: `--steps` in all. `--hang`: who loses a peer waits for it for ever, and takes no TERM, as in a collective of a GPU.
#: `--late SECONDS` is how long rank 0 goes on after the others have ended; `--fail RANK@STEP` raises there once;
#: `--last RANK@CODE` fails with that status after the good end; `--mute` writes no final record.
TRAINER = (
    CONTRACT
    + """
import socket

def option(name, default):
    return type(default)(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default

rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
master = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
signal.signal(signal.SIGTERM, lambda *_: asked.append("TERM"))

def crash(code, exception, message):
    facts = {"code": code, "exception": exception, "message": message, "rank": rank, "retry": code in (1, 5, 7)}
    os.makedirs(path("crash"), exist_ok=True)
    with open(path("crash", "rank-%d.json" % rank), "w") as file:
        json.dump(facts, file)
    print("rank", rank, "fails:", exception, message, flush=True)
    if rank == 0:
        event("run.failed", step, level="error", **facts)
    os._exit(code)

def lost():
    if "--hang" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("rank", rank, "hangs", flush=True)
        while True:
            time.sleep(60)
    crash(7, "PeerLost", "a peer is gone")

def word(connection):
    data = b""
    while not data.endswith(b"\\n"):
        piece = connection.recv(64)
        if not piece:
            lost()
        data += piece
    return int(data)

class Peers:
    def __init__(self):
        self.peers = []
        if rank == 0:
            with socket.create_server(master, backlog=64) as server:
                server.settimeout(30)
                while len(self.peers) < size - 1:
                    self.peers.append(server.accept()[0])
        else:
            until = time.monotonic() + 30
            while not self.peers:
                try:
                    self.peers = [socket.create_connection(master, timeout=30)]
                except OSError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)
        for peer in self.peers:
            peer.settimeout(None)
    def largest(self, mine):
        try:
            if rank:
                self.peers[0].sendall(b"%d\\n" % mine)
                return word(self.peers[0])
            found = max([mine, *map(word, self.peers)])
            for peer in self.peers:
                peer.sendall(b"%d\\n" % found)
            return found
        except OSError:
            lost()

steps, every, pause = option("--steps", 100000), option("--every", 10), option("--pause", 0.02)
doomed, _, moment = option("--fail", "").partition("@")
step = 0
peers = Peers()
step = peers.largest(resumed_from() if rank == 0 else 0)
print("rank", rank, "begins at step", step, flush=True)
stop = 0
while step < steps and not stop:
    time.sleep(pause)
    step += 1
    if ATTEMPT == 1 and doomed == str(rank) and step == int(moment):
        crash(option("--code", 5), option("--exception", "DeviceMemoryError"), "no room for it")
    if rank == 0:
        progress(step)
        if step % every == 0:
            save(step)
    stop = peers.largest(len(asked))
print("rank", rank, "ends at step", step, flush=True)
if rank == 0:
    time.sleep(option("--late", 0.0))
    if step % every:
        save(step)
    if "--mute" in sys.argv:
        sys.exit(0)
    event("run.completed" if step == steps else "run.stopped", step, step=step, saved_step=step, code=0)
last, _, code = option("--last", "").partition("@")
sys.exit(int(code) if last == str(rank) else 0)
"""
)

RELEASE = {
    "trainer.py": TRAINER,
    "torch/__init__.py": "",
    "torch/distributed/__init__.py": "",
    "torch/distributed/run.py": LAUNCHER,
}
