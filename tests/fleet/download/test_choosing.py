"""Which files of a run are meant: by patterns, and the newest checkpoint where a run went on from an earlier one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet.download.listing import is_glob
from fleet.errors import NotFound, Usage
from tests.fleet.download.conftest import save_checkpoint


@pytest.mark.parametrize("glob", ["", "[", "log/[0-9", "[]", "[!]", "a[]b"])
def test_a_malformed_glob_is_refused(host, tmp_path: Path, glob: str) -> None:
    for option in ("include", "exclude"):
        with pytest.raises(Usage, match="no pattern for files"):
            host.download(tmp_path / "to", **{option: [glob]})
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("glob", ["[[]", "[]]x", "[!]]x", "log/[0-9]*", "]"])
def test_a_whole_glob_is_none(glob: str) -> None:
    assert is_glob(glob)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"include": ["nothing.*"]}, "fits nothing.*"),
        ({"include": ["metrics.*", "/etc/*", "logs/*"]}, "fits /etc/*, logs/*"),
        ({"include": ["checkpoints/*"], "checkpoint": "none"}, "fits checkpoints/*"),
        ({"include": ["metrics.*"], "exclude": ["*.jsonl"]}, "leaves no file"),
        ({"exclude": ["*"]}, "leaves no file"),
    ],
)
def test_globs_that_leave_nothing_say_what_there_is(host, tmp_path: Path, options, named: str) -> None:
    with pytest.raises(NotFound) as caught:
        host.download(tmp_path / "to", **options)
    assert named in caught.value.what and "log/, manifest.yaml, metrics.jsonl" in caught.value.why
    assert not (tmp_path / "to").exists()
    # To leave out what is not there is no mistake.
    host.download(tmp_path / "to", exclude=["*.tmp"])


def test_a_branch_that_was_left_is_not_the_latest(host, tmp_path: Path) -> None:
    """Resumed from step 100: the pointer names step 200 of the branch that was left, until the next save."""
    events = [("run.started", 1, {}), ("run.resumed", 2, {"step": 100})]
    rows = [
        {"seq": n, "kind": kind, "attempt": attempt, "data": data} for n, (kind, attempt, data) in enumerate(events)
    ]
    (host.run / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert host.download(tmp_path / "before").steps == (100,)
    save_checkpoint(host.run, 150, serial=4, attempt=2)
    assert host.download(tmp_path / "after").steps == (150,)
    assert host.download(tmp_path / "all", checkpoint="all").steps == (50, 100, 150, 200)
