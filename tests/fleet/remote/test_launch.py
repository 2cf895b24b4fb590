"""The launch request is checked field by field, and what is not understood is refused by name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet.remote.launch import WAITS, Launch
from fleet.remote.leader import command_of
from fleet.remote.pinning import Pinned
from fleet.remote.places import DeployDir, RunFiles
from fleet.remote.refusal import Refusal
from fleet.remote.surroundings import child_environment, read_secrets

REQUEST: dict[str, Any] = {
    "schema": 1,
    "run": "lm-20260131-235959-k3qz",
    "name": "lm",
    "deploy_dir": "~/fleet/hydra",
    "release": "0123456789abcdef",
    "environment": None,
    "python": "envs/e1/bin/python",
    "argv": ["trainer.py", "manifests/default.yaml"],
    "resume_argv": ["trainer.py", "--resume", "{run_dir}"],
}
GPUS = [{"index": 0, "uuid": "GPU-a"}, {"index": 3, "uuid": "GPU-b"}]
GROUP = {
    "node_rank": 1,
    "nodes": [{"name": "h1", "address": "10.0.0.11"}, {"name": "h2", "address": "10.0.0.12"}],
    "master_address": "10.0.0.11",
    "master_port": 29500,
    "lead_port": 29501,
    "token": "0123456789abcdef",
    "interface": "eth1",
}


def launch(**changes: Any) -> Launch:
    return Launch.parse({**REQUEST, **changes})


def test_what_is_left_out_has_its_default() -> None:
    found = launch()
    assert (found.attempt, found.nproc, found.max_restarts, found.waits) == (1, 1, 3, WAITS)
    assert (found.grace, found.confirm_seconds, found.resume, found.group) == (60, 10, False, None)
    assert found.restart_argv == found.resume_argv and not found.launched


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schema": 2}, "launch.schema"),
        ({"run": "../etc"}, "launch.run"),
        ({"run": "UPPER"}, "launch.run"),
        ({"attempt": 0}, "launch.attempt"),
        ({"attempt": True}, "launch.attempt"),
        ({"release": "a/b"}, "launch.release"),
        ({"release": ".."}, "launch.release"),
        ({"python": "a\0b"}, "launch.python"),
        ({"argv": "trainer.py"}, "launch.argv"),
        ({"argv": []}, "launch.argv"),
        ({"argv": ["a\0"]}, "launch.argv"),
        ({"env": {"FLEET_RUN_ID": "x"}}, "launch.env.FLEET_RUN_ID"),
        ({"env": {"lower": "x"}}, "launch.env.lower"),
        ({"env": {"A": 1}}, "launch.env.A"),
        ({"secrets": "../x"}, "launch.secrets"),
        ({"gpus": [{"index": 0, "uuid": "a b"}]}, "launch.gpus[0].uuid"),
        ({"gpus": [GPUS[0], GPUS[0]]}, "twice"),
        ({"gpus": [{"index": 0, "uuid": "x", "model": "y"}]}, "launch.gpus[0]"),
        ({"nproc": 0}, "launch.nproc"),
        ({"grace": -1}, "launch.grace"),
        ({"grace": float("nan")}, "launch.grace"),
        ({"waits": []}, "launch.waits"),
        ({"record": []}, "launch.record"),
        ({"group": {**GROUP, "node_rank": 2}}, "launch.group.node_rank"),
        ({"group": {**GROUP, "master_address": "h1.example.org"}}, "launch.group.master_address"),
        ({"group": {**GROUP, "interface": "a;b"}}, "launch.group.interface"),
        ({"memory": 7}, "'memory'"),
    ],
)
def test_what_is_wrong_is_refused_by_name(changes: dict, named: str) -> None:
    with pytest.raises(Refusal) as refused:
        launch(**changes)
    assert refused.value.parts["kind"] == "usage" and named in refused.value.parts["what"]
    assert all(refused.value.parts[part] for part in ("why", "fix", "example"))


def test_a_request_that_is_no_object_is_refused() -> None:
    with pytest.raises(Refusal):
        Launch.parse([REQUEST])
    with pytest.raises(Refusal, match="deploy_dir 'fleet/hydra' is not absolute"):
        DeployDir.at("fleet/hydra")


FILES = RunFiles("/d/runs/lm-20260131-235959-k3qz")
PINNED = Pinned("/d/releases/r", None, "/d/envs/e1/bin/python")


def test_one_rank_is_started_directly() -> None:
    found = launch()
    assert command_of(found, PINNED, FILES, found.argv) == [PINNED.python, "trainer.py", "manifests/default.yaml"]
    words = ("trainer.py", "{run_dir}", "{run_dir}@7", "a{run_dir}", "{run_dir}x")
    assert command_of(found, PINNED, FILES, words)[2:] == [FILES.path, f"{FILES.path}@7", "a{run_dir}", "{run_dir}x"]


def test_several_ranks_have_a_launcher_that_makes_no_restarts() -> None:
    found = launch(nproc=4)
    command = command_of(found, PINNED, FILES, found.argv)
    assert command[:5] == [PINNED.python, "-m", "torch.distributed.run", "--max-restarts=0", "--nproc-per-node=4"]
    assert "--standalone" in command and "--tee=3" in command and command[-2:] == list(found.argv)
    group = launch(nproc=8, group=GROUP)
    command = command_of(group, PINNED, FILES, group.argv)
    assert "--standalone" not in command
    for word in (
        "--nnodes=2",
        "--node-rank=1",
        "--master-addr=10.0.0.11",
        "--master-port=29500",
        "--local-addr=10.0.0.12",
    ):
        assert word in command


def test_children_get_identity_settings_and_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "7")
    monkeypatch.setenv("FLEET_CONFIG", "x")
    monkeypatch.setenv("KEPT", "1")
    found = launch(gpus=GPUS, env={"OMP_NUM_THREADS": "8", "PYTHONUNBUFFERED": "0", "CUDA_VISIBLE_DEVICES": "7"})
    variables = child_environment(found, FILES, 3, {"HF_TOKEN": "hf_x"})
    assert variables["FLEET_RUN_ID"] == found.run and variables["FLEET_ATTEMPT"] == "3"
    assert variables["FLEET_NODE_RANK"] == "0" and variables["FLEET_RUN_DIR"] == FILES.path
    assert variables["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert (variables["OMP_NUM_THREADS"], variables["PYTHONUNBUFFERED"], variables["HF_TOKEN"]) == ("8", "0", "hf_x")
    assert variables["KEPT"] == "1" and variables["PATH"] == os.environ["PATH"]
    assert "RANK" not in variables and "FLEET_CONFIG" not in variables
    assert child_environment(launch(), FILES, 1, {})["CUDA_VISIBLE_DEVICES"] == ""
    group = child_environment(launch(group=GROUP), FILES, 1, {})
    assert (group["FLEET_NODE_RANK"], group["NCCL_SOCKET_IFNAME"], group["GLOO_SOCKET_IFNAME"]) == (
        "1",
        "=eth1",
        "eth1",
    )
    assert group["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "61"


def test_secrets_are_parsed_and_never_executed(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    path = tmp_path / "secrets" / "main.env"
    path.write_text('# comment\nA_KEY=$(touch x) `y` "quoted" # no comment\n\nB=\nC==\n')
    path.chmod(0o600)
    home = DeployDir(str(tmp_path))
    assert read_secrets(home, "main") == {"A_KEY": '$(touch x) `y` "quoted" # no comment', "B": "", "C": "="}
    assert read_secrets(home, None) == {}
    path.write_text("A_KEY=canary-value\nnot a line of the form\n")
    with pytest.raises(Refusal) as refused:
        read_secrets(home, "main")
    assert "line 2" in refused.value.parts["what"] and "canary" not in str(refused.value.parts)


def test_commands_answer_with_refusals_and_never_with_tracebacks(tmp_path: Path) -> None:
    from fleet.remote import processes, runs, start, stop, verify

    for command in (start, stop, runs, processes, verify):
        for request in ({}, {"deploy_dir": 7}, {"deploy_dir": "relative"}, {"deploy_dir": str(tmp_path), "odd": 1}):
            answer, status = command.main(request)
            assert status == 1 and answer["error"]["kind"] == "usage", (command, request)
    assert stop.main({"deploy_dir": str(tmp_path), "run": "absent"})[0]["error"]["kind"] == "not-found"
    assert sys.executable
