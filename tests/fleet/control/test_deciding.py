"""Small decisions of the use cases: arguments of the trainer, exit codes, variables, outcomes of a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.control.experiment import choose_run, parsed
from fleet.control.finding import Found, pick
from fleet.control.known_secrets import known_secrets
from fleet.control.launching import confirm, variables
from fleet.control.report import Report, code_of, exit_code
from fleet.control.session import Session
from fleet.errors import FleetError, NotFound, RemoteFailed, Unreachable, Usage
from fleet.inventory import load
from fleet.ssh import Deadline
from fleet.ssh.failures import ConnectionLost
from tests.fleet.cli.program import MANIFEST

FLEET = """{"version": 1, "project": "p", "defaults": {"user": "u", "env": {"A": "default", "B": "default"},
 "secrets": {"file": ".env", "allow": ["HF_TOKEN", "WANDB_API_KEY"]}},
 "instances": {"a": {"host": "192.0.2.1", "env": {"B": "instance", "C": "instance"}}, "b": {"host": "192.0.2.2"}},
 "groups": {"g": {"members": ["a", "b"], "env": {"A": "group", "B": "group", "D": "group"}}}}"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A session that never connects."""
    (tmp_path / "fleet.json").write_text(FLEET)
    return Session.open(tmp_path / "fleet.json", argv=("fleet", "test", "--env", "K=private"))


def failing(kind: type[FleetError], host: str) -> FleetError:
    """An error of a host."""
    return kind("what", why="why", fix="fix", example="example", host=host)


def test_arguments_of_the_trainer() -> None:
    found = parsed(["--set", "a=1", "--set=b=c=2", "--only", "x"], "train")
    assert (found.overrides, found.only) == (("a=1", "b=c=2"), "x")
    for wrong in (["--resume", "latest"], ["manifest.yaml"], ["--set"], ["--Set", "a=1"]):
        with pytest.raises(Usage):
            parsed(wrong, "train")
    with pytest.raises(Usage, match="--only"):
        parsed(["--only", "x"], "resume")


def test_the_manifest_is_one_of_the_project_and_describes_one_run(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "default.yaml").write_text(MANIFEST)
    several = MANIFEST + "seeds: [1, 2]\n"
    (tmp_path / "several.yaml").write_text(several)
    assert choose_run(tmp_path, None, "My Run_1", parsed([], "train")).name == "my-run-1"
    chosen = choose_run(tmp_path, tmp_path / "manifests" / "default.yaml", None, parsed([], "train"))
    assert (chosen.manifest, chosen.name) == ("manifests/default.yaml", "stand-in")
    with pytest.raises(Usage, match="outside the project"):
        choose_run(tmp_path / "manifests", tmp_path / "several.yaml", None, parsed([], "train"))
    with pytest.raises(Usage, match="describes 2 runs"):
        choose_run(tmp_path, tmp_path / "several.yaml", None, parsed([], "train"))


@given(st.lists(st.sampled_from([2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13]), max_size=6), st.integers(0, 3))
def test_exit_codes(codes: list[int], succeeded: int) -> None:
    found = code_of(codes, succeeded=succeeded)
    assert (found == 0) == (not codes)
    if codes:
        assert found == (codes[0] if not succeeded and len(set(codes)) == 1 else 7)


def test_a_host_with_an_error_did_not_succeed_even_if_it_has_a_row() -> None:
    assert exit_code(Report({"a": 1}, (failing(RemoteFailed, "a"),))) == 8
    assert exit_code(Report({"a": 1, "b": 1}, (failing(RemoteFailed, "a"),))) == 7
    assert exit_code(Report({}, (failing(Unreachable, "a"), failing(Unreachable, "b")))) == 3


def test_variables_of_a_run(session: Session) -> None:
    inventory = session.inventory
    alone = variables(inventory.instances["a"], None)
    assert alone == {"A": "default", "B": "instance", "C": "instance"}
    together = variables(inventory.instances["a"], inventory.groups["g"])
    assert together == {"A": "group", "B": "instance", "C": "instance", "D": "group"}


def found(name: str) -> Found:
    """A run of a host."""
    return Found("h", {"id": name, "state": "completed", "live": False})


def test_which_run_is_meant() -> None:
    runs = [found("small-20260101-000000-aaaa"), found("small-20260102-000000-bbbb"), found("small")]
    assert pick("h", runs, "small").id == "small", "an exact name beats a beginning"
    assert pick("h", runs, "small-20260102").id == runs[1].id
    with pytest.raises(Usage, match="means 2 runs"):
        pick("h", runs, "small-2026")
    with pytest.raises(NotFound, match="has no run 'big'"):
        pick("h", runs, "big")
    with pytest.raises(NotFound, match="has no runs"):
        pick("h", [], "big")


@pytest.mark.parametrize("state", ["failed", "oom", "killed", "lost"])
@pytest.mark.parametrize("restart_in", [None, 12.3])
def test_a_trainer_that_died_at_once_is_a_failure(state: str, restart_in: float | None) -> None:
    answer: dict[str, Any] = {
        "run": "r",
        "attempt": 1,
        "state": state,
        "exit": {"code": 1, "kind": "ValueError"},
        "lines": ["a", "b"],
        "restart_in": restart_in,
    }
    with pytest.raises(RemoteFailed) as raised:
        confirm("h", answer, gpus=(), settings=(), release=None, environment=None)
    assert "exit 1, ValueError" in raised.value.what and "a\n    b" in raised.value.what
    assert ("tried again in 12 s" in raised.value.what) == (restart_in is not None)
    assert raised.value.example == f"fleet {'logs' if restart_in is None else 'stop'} h --run r"


def test_work_is_begun_again_after_a_lost_connection_only_if_that_is_safe(session: Session) -> None:
    tried: list[str] = []

    def job(name: str, deadline: Deadline) -> int:
        tried.append(name)
        if len(tried) < 3:
            raise ConnectionLost("cut", why="cut", fix="again", example="fleet status a", host=name)
        return len(tried)

    assert session.each(["a"], job, 30, repeat=True).rows == {"a": 3}
    tried.clear()
    assert [error.exit_code for error in session.each(["a"], job, 30).errors] == [3]
    assert tried == ["a"]


def test_rows_come_in_the_order_of_the_names(session: Session) -> None:
    report = session.each(["b", "a"], lambda name, _: name, 30)
    assert list(report.rows) == ["b", "a"]


def test_values_of_a_command_line_are_not_recorded(session: Session) -> None:
    session.record("run", ["a"], "done", hide=["private"])
    session.record("run", ["a"], "done", plan={"b": 1, "a": 2})
    first, second = (session.root / ".fleet" / "audit.jsonl").read_text().splitlines()
    assert "private" not in first and '"K=***"' in first and '"plan_digest": ""' in first
    assert "K=private" in second and '"plan_digest": ""' not in second


def test_secrets_are_known_as_far_as_they_are_there(session: Session) -> None:
    assert known_secrets(session.inventory) == frozenset()
    (session.root / ".env").write_text("HF_TOKEN='hf-secret-1'\nUNLISTED=visible-value\n")
    assert known_secrets(session.inventory) == {"hf-secret-1"}
    again = Session(load(session.inventory.path))
    assert again.redactor.text("hf-secret-1 and visible-value") == "*** and visible-value"
