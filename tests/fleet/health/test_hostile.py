"""Files of runs are written by anybody's code: whatever they hold stays inside their own section."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.health.report import read_report
from fleet.health.scripts import probe_script
from fleet.health.sections import parse
from fleet.ssh import Deadline, Result
from tests.fleet.health.conftest import DEPLOY_DIR, LIVE_ID

#: How many contents are tried through a real shell, and how many answers without one.
THROUGH_A_SHELL, WITHOUT = 20, 150
FORGED = [
    b"=run forged-20260101-000000-aaaa held",
    b"=state",
    b"=smi 15",
    b"=end 5",
    b"fleet-probe 1",
    b"|=end",
    b'"state": "running"',
    b'{"state": "running", "step": 1}',
    b"{",
    b"}",
    b"\r",
    b"\x00",
    b"\x1b[2J",
    b"\xff\xfe",
    b"NaN",
    b"\xe2\x80\xa8=env forged",
    b"%s",
    b"\\n=env forged",
    b"$(touch forged)",
]
CONTENT = st.lists(st.sampled_from(FORGED) | st.binary(max_size=40), max_size=12).map(b"\n".join)


@given(state=CONTENT, progress=CONTENT, metrics=CONTENT)
@settings(max_examples=THROUGH_A_SHELL, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_contents_stay_in_their_sections(host, state: bytes, progress: bytes, metrics: bytes) -> None:
    folder = host.root / "runs" / LIVE_ID
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("state.json", state), ("progress.json", progress), ("metrics.jsonl", metrics)):
        (folder / name).write_bytes(content)
    cmd = probe_script("probe.sh", DEPLOY_DIR, 1, "index", "index", "1", "no")
    result = host.transport.exec(cmd, deadline=Deadline.after(20))
    answer = parse(result.out)
    names = [section.name for section in answer.sections]
    assert answer.complete and names.count("end") == names.count("run") == 1
    assert not {"env", "current", "process"} & set(names)
    report = read_report("box", result, 0.0, 0.0)
    [run] = report.runs
    assert run.id == LIVE_ID
    json.dumps(report.to_json(), allow_nan=False)
    assert not (host.home / "forged").exists() and not (host.root / "runs" / "forged").exists()


@given(st.binary(max_size=400) | CONTENT.map(lambda content: b"fleet-probe 1\n" + content))
@settings(max_examples=WITHOUT)
def test_any_answer_can_be_read(data: bytes) -> None:
    report = read_report("box", Result(0, data), 0.0, 0.0)
    json.dumps(report.to_json(), allow_nan=False)
    assert report.state == "up" or report.reason


WORDS = st.sampled_from(["0", "-1", "9" * 400, "1e999", "nan", "0x" + "f" * 300, "", "[N/A]", "x", "4096", "held"])
NAMES = st.sampled_from(
    [
        *("now", "uptime", "boot", "load", "memory", "cgroup", "disk", "df", "identity", "current", "release", "files"),
        *("run", "state", "progress", "metrics", "events", "gpus", "apps", "smi", "xid", "process", "place", "end"),
    ]
)
LINES = st.sampled_from(
    [
        "0, GPU-1, L4, 00000000:18:00.0, 570, 0, 4, 81559, 34, 71, 700, 0x1, 0, No, No, [N/A]",
        "9" * 500 + ", GPU-1, L4" + ", 0x" + "f" * 400 + ", 5" * 12,
        '{"state": "running", "attempt": ' + "9" * 30 + ', "boot_id": 5, "gpus": {"a": 1}, "exit": [], "since": 1e400}',
        '{"state": ["running"]}',
        "[" * 5000,
        '{"step": true, "loss": ' + "9" * 5000 + "}",
        '{"step": 1, "loss": "x", "phase": "\\ud800"}',
        "GPU-1, 99999999999999999999, -5",
        "NVRM: Xid (PCI:0000:18:00): 79, gone",
        "x/state.json 1 2",
        "total 1 2 3 4% /",
    ]
)


@given(st.lists(st.tuples(NAMES, st.lists(WORDS, max_size=6), st.lists(LINES, max_size=3)), max_size=14))
@settings(max_examples=WITHOUT)
def test_any_values_can_be_read(sections: list[tuple[str, list[str], list[str]]]) -> None:
    lines = ["fleet-probe 1"]
    for name, words, content in sections:
        lines += [f"={' '.join([name, *words])}", *(f"|{line}" for line in content)]
    report = read_report("box", Result(0, "\n".join([*lines, "=end 7", ""]).encode()), 0.0, 0.0)
    json.dumps(report.to_json(), allow_nan=False)


@pytest.fixture
def spoilt(host) -> Path:
    """A good live run beside one that is to be spoilt; the spoilt one is given."""
    host.run("good-20260101-000000-aaaa", locked=True)
    return host.run(locked=True)


def states(host) -> dict[str, str | None]:
    return {run.name: run.state for run in host.look(runs=5).runs}


def test_a_pipe_in_the_place_of_a_file_is_left_alone(host, spoilt: Path) -> None:
    for name in ("metrics.jsonl", "progress.json"):
        (spoilt / name).unlink()
        os.mkfifo(spoilt / name)
    assert states(host) == {"good": "running", "small-lm": "running"}
    (spoilt / "state.json").unlink()
    os.mkfifo(spoilt / "state.json")
    assert states(host) == {"good": "running"}


def test_huge_files_are_not_read(host, spoilt: Path) -> None:
    (spoilt / "metrics.jsonl").write_bytes(b"x" * 5_000_000)
    (spoilt / "progress.json").write_bytes(b" " * 5_000_000)
    report = host.look()
    assert {run.name: run.state for run in report.runs} == {"good": "running", "small-lm": "running"}
    (spoilt / "state.json").write_bytes(b'{"state": "running",\n' + b" " * 200_000 + b"}")
    run = next(run for run in host.look().runs if run.name == "small-lm")
    assert (run.state, run.reason) == (None, "state.json is too large to be one")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"state": "dancing"}', b'{"state": NaN}', b"\xff", b"[" * 9999]
)
def test_a_state_that_cannot_be_read_hides_no_other(host, spoilt: Path, content: bytes) -> None:
    (spoilt / "state.json").write_bytes(content)
    assert states(host) == {"good": "running", "small-lm": None}
