"""The real trainer under a real supervisor, on the CPU: start, stop with proof, resume, completed."""

from __future__ import annotations

from pathlib import Path

from hydra.runs import observed_state, read_events, read_metrics
from hydra.training.checkpoint.reading import Checkpoints
from tests.fleet.remote.hosts import PATIENCE, Host, wait_for

#: Steps after the resume.
MORE = 40
SETTINGS = {
    "training.steps": "1000000",
    "training.batch": "2",
    "data.sequence": "32",
    "data.corpus": "{kind: synthetic, tokens: 20000, document: 90}",
    "model.width": "32",
    "model.blocks": "[{mixer: {kind: softmax, heads: 2}, mlp: {kind: swiglu}}]",
    "evaluation.every": "0",
    "evaluation.rows": "4",
    "evaluation.samples.every": "0",
    "evaluation.samples.tokens": "4",
    "checkpoint.every": "1000",
}


def test_start_stop_resume_completed(host: Host, root: Path, tmp_path: Path) -> None:
    release = host.release("real", {"trainer.py": (root / "trainer.py").read_text()})
    for name in ("hydra", "manifests"):
        (release / name).symlink_to(root / name)
    places = {
        "kernels.ledger": str(tmp_path / "kernels.json"),
        "data.tokenizer_artifacts": str(tmp_path / "tokenizers"),
        "data.token_artifacts": str(tmp_path / "tokens"),
    }
    settings = [word for name, value in (SETTINGS | places).items() for word in ("--set", f"{name}={value}")]
    changes = {"release": "real", "confirm_seconds": PATIENCE, "env": {"OMP_NUM_THREADS": "1"}}
    answer = host.start("run-a", "trainer.py", *settings, **changes)
    assert answer["state"] == "running" and answer["confirmed"] == "line", answer
    wait_for(lambda: host.directory("run-a").metrics.exists() and host.row("run-a")["loss"], "a step", 4 * PATIENCE)
    assert observed_state(host.directory("run-a")).state == "running"
    stopped = host.stop("run-a", grace=60)
    step = stopped["checkpoint"]["step"]
    assert stopped["state"] == "stopped" and stopped["proven"] and stopped["steps_lost"] == 0 and step > 0
    assert stopped["exit"] == {"code": 0, "kind": "requested", "signal": None, "culprit": None, "retry": False}
    assert Checkpoints(host.directory("run-a").checkpoints).verify(step).ok
    assert host.call("verify", run="run-a") == {"run": "run-a", "step": step, "quick": False, "rejected": []}

    shorter = ["--set", f"training.steps={step + MORE}", "--changed", "training.steps"]
    changes |= {"resume_argv": ["trainer.py", "--resume", "{run_dir}", *shorter]}
    changes |= {"restart_argv": ["trainer.py", "--resume", "{run_dir}"]}
    resumed = host.start("run-a", "trainer.py", *settings, resume=True, attempt=2, **changes)
    assert resumed["attempt"] == 2 and resumed["state"] in ("running", "completed"), resumed
    state = host.wait_state("run-a")
    assert state.state == "completed" and state.last_step == step + MORE, state.exit
    events = read_events(host.directory("run-a").events).events
    assert [event.data["step"] for event in events if event.kind == "run.resumed"] == [step]
    assert events[-1].kind == "run.completed" and "run.lost" not in {event.kind for event in events}
    rows = read_metrics(host.directory("run-a").metrics).current
    assert [row["step"] for row in rows] == list(range(1, step + MORE + 1))
