"""Which interpreter is taken, why, and that one that hangs, lies or is old costs neither time nor the others."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import fleet.remote.env_probe as probe
from fleet.environment import plan
from fleet.environment.interpreter import OLDEST_PYTHON, OLDEST_TORCH, Interpreter, Rejected, choose, described
from fleet.environment.survey import Request, look
from fleet.errors import Blocked
from fleet.ssh import Cmd, Deadline
from tests.fleet.environment.hosts import DEPLOY, Host
from tests.fleet.environment.index import project
from tests.fleet.environment.interpreters import make_interpreter

TORCH = {"version": "2.13.0", "git": "g", "cuda": "13.0", "path": "/t", "devices": ["H100"], "capabilities": [[9, 0]]}
TORCH["architectures"] = ["sm_80", "sm_90", "compute_90"]


def ask(python: Path | str, *, seconds: int = 20, what: str = "torch") -> tuple[int, dict]:
    """The probe's status and answer."""
    text = Path(probe.__file__).read_text()
    done = subprocess.run([python, "-E", "-c", text, str(seconds), OLDEST_TORCH, what], capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}


@pytest.mark.parametrize(
    ("torch", "gpus", "problem"),
    [
        (TORCH, 1, ""),
        ({**TORCH, "cuda": None, "devices": [], "capabilities": []}, 0, ""),
        (None, 0, "no torch"),
        ({"error": "OSError: libcudart"}, 0, "torch does not import: OSError: libcudart"),
        ({**TORCH, "version": "2.10.1+cu128"}, 1, "torch 2.10.1+cu128 is older than 2.11"),
        ({**TORCH, "cuda": None, "devices": []}, 8, "is built without CUDA, and the host has GPUs (8)"),
        ({**TORCH, "devices": []}, 8, "sees none of the host's GPUs (8)"),
        ({**TORCH, "devices": ["V100"], "capabilities": [[7, 0]]}, 1, "not for V100 (sm_70)"),
        ({**TORCH, "version": "2.11.0a0+git.nv25"}, 1, ""),
        ({**TORCH, "devices": ["B200"], "capabilities": [[10, 0]]}, 1, ""),
    ],
)
def test_a_torch_is_reused_only_if_it_works_here(torch: dict | None, gpus: int, problem: str) -> None:
    found = probe.torch_problem(torch, gpus, OLDEST_TORCH)
    assert (found == "") == (problem == "")
    assert problem in found


def test_the_oldest_versions_are_those_of_the_project(root: Path) -> None:
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert declared["requires-python"] == f">={OLDEST_PYTHON}"
    assert f"torch>={OLDEST_TORCH}" in declared["dependencies"]


def test_the_probe_survives_what_an_import_prints(torch_python: Path) -> None:
    status, facts = ask(torch_python)
    assert status == probe.WORKS
    assert facts["torch"]["devices"] == ["Fake GPU", "Fake GPU"]
    assert facts["torch"]["nccl"] == "2.28.3"
    assert facts["packages"]["torch"] == "2.13.0+cu130"
    assert facts["venv"]
    assert not facts["system_site"]


def test_a_plain_question_imports_no_torch(tmp_path: Path) -> None:
    base = make_interpreter(tmp_path / "v", code="raise SystemExit('imported')")
    status, facts = ask(base, what="plain")
    assert (status, "torch" in facts) == (0, False)


def test_a_torch_that_does_not_import_is_an_answer(tmp_path: Path) -> None:
    base = make_interpreter(tmp_path / "v", code="raise OSError('libcudart.so.13: cannot open shared object file')")
    status, facts = ask(base)
    assert (status, facts["torch"]) == (0, {"error": "OSError: libcudart.so.13: cannot open shared object file"})


def test_a_torch_that_hangs_is_ended(tmp_path: Path) -> None:
    base = make_interpreter(tmp_path / "v", code="import time; time.sleep(600)")
    start = time.monotonic()
    status, _ = ask(base, seconds=1)
    assert status == -14
    assert time.monotonic() - start < 10
    assert described("/p", 142, "") == Rejected("/p", "did not answer within 60 s")


def test_answers_that_are_none() -> None:
    assert described("/old", 1, "3.8.18") == Rejected("/old", "Python 3.8.18 is older than 3.11")
    assert described("/gone", 127, "") == Rejected("/gone", "there is no such program")
    assert described("/bad", 139, "") == Rejected("/bad", "ended with status 139: no answer")
    assert described("/bad", 1, "TypeError: x") == Rejected("/bad", "ended with status 1: TypeError: x")


def interpreter(path: str, **changes) -> Interpreter:
    """This very Python under another path."""
    facts = dict(ask_once())
    one = described(path, 0, json.dumps({**facts, "executable": path}))
    assert isinstance(one, Interpreter)
    return dataclasses.replace(one, **changes)


def ask_once(memory: list[dict] = []) -> dict:  # noqa: B006 - asked once for all tests
    """What this Python says of itself."""
    if not memory:
        memory.append(ask(sys.executable, what="plain")[1])
    return memory[0]


def test_the_first_that_can_be_reused_is_taken_whatever_the_order() -> None:
    found = [
        Rejected("/a", "Python 3.8.18 is older than 3.11"),
        interpreter("/b", problem="no torch"),
        described("/c", 10, json.dumps({**ask_once(), "executable": "/c", "torch": TORCH})),
    ]
    for order in itertools.permutations(found):
        choice = choose("h", order, "auto")
        assert (choice.interpreter.path, choice.reuse) == ("/c", True)
        assert "/a: Python 3.8.18 is older than 3.11" in choice.rejected
        isolated = choose("h", order, "isolated")
        assert not isolated.reuse
        assert isolated.interpreter.path != "/a"
        assert not choose("h", order, "auto", reusable=False).reuse


def test_nothing_that_fits_names_all_that_was_seen() -> None:
    found = [Rejected("/a", "is old"), interpreter("/b", problem="no torch", pip=False)]
    for wish in ("auto", "isolated", "reuse"):
        with pytest.raises(Blocked, match="no Python") as caught:
            choose("h", found, wish)
        assert "/a: is old" in caught.value.why
        assert "/b (Python" in caught.value.why
    assert choose("h", found, "auto", tool=True).interpreter.path == "/b"
    with pytest.raises(Blocked, match="no Python") as caught:
        choose("h", [], "auto")
    assert "no interpreter was found" in caught.value.why


def test_auto_looks_in_login_path_conda_and_system_and_stops_early(host: Host, tmp_path: Path) -> None:
    home = host.transport.home
    old = tmp_path / "old"
    old.mkdir()
    (old / "python3").write_text("#!/bin/sh\necho 3.8.18\necho /old\nexit 1\n")
    (old / "python3").chmod(0o755)
    plain = make_interpreter(home / "miniconda3", torch=None)
    fits = make_interpreter(home / "miniconda3/envs/train")
    late = make_interpreter(home / ".venv", code="import os; open(os.path.expanduser('~/late'), 'w')")
    # Only a login reads the profile, and what it prints must not matter.
    (home / ".profile").write_text(f'echo "welcome PATH=/x"\nPATH={old}:{plain.parent}:$PATH\nexport PATH\n')
    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("beta"))
    ready = host.setup(python="auto")
    assert ready.mode == "reuse"
    assert ready.reason.startswith(f"{fits} (Python ")
    assert ready.rejected[0] == f"{old}/python3: Python 3.8.18 is older than 3.11"
    [about_conda] = [line for line in ready.rejected if line.startswith(f"{plain.parent}/")]
    assert about_conda.endswith(f"(Python {ready.version}): not reused: no torch"), "one line, though it has two names"
    assert late.exists()
    assert not (home / "late").exists(), "the search went on after it had found one"
    for line in ready.rejected:
        assert f"not taken: {line}" in host.said


def test_an_interpreter_that_is_not_there(host: Host) -> None:
    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("beta"))
    with pytest.raises(Blocked, match=r"no Python 3\.11 or newer") as caught:
        host.setup(python="/opt/nowhere/python")
    assert "/opt/nowhere/python: there is no such program" in caught.value.why


def test_a_plan_changes_nothing(host: Host) -> None:
    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("beta"))
    before = sorted(str(path) for path in host.transport.home.rglob("*"))
    steps = plan(host.transport, DEPLOY, "r1", python=str(host.python), deadline=Deadline.after(30)).steps()
    assert sorted(str(path) for path in host.transport.home.rglob("*")) == before
    assert any(re.match(r"build .*/envs/[0-9a-f]{16} unless", line) for line in steps)
    assert "packages: pinned, not hashed" in steps


def test_what_is_sent_fits_into_one_argument(host: Host) -> None:
    """A remote command is one argument of the login shell, and Linux allows 128 KiB for one."""
    lines: list[str] = []

    class Recorder(type(host.transport)):
        def exec(self, cmd: Cmd, **options):
            lines.append(cmd.line())
            return super().exec(cmd, **options)

    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("beta"))
    transport = Recorder(host.transport.home)
    survey = look(transport, DEPLOY, Request("r1", str(host.python)), "agent", Deadline.after(30))
    assert survey.candidates
    assert len(lines) == 1
    assert len(lines[0]) < 64 * 1024
