from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.runs import RunDirectory, RunLogHandler, escape, lines


@given(st.text(st.characters(exclude_categories=())))
def test_no_control_character_survives(text: str) -> None:
    line = escape(text)
    assert len(line.splitlines()) <= 1
    assert not re.search("[\x00-\x1f\x7f-\x9f]", line)
    line.encode("utf-8")


def test_readable_text_stays(run: RunDirectory) -> None:
    assert escape("loss 1.5, é, 日本, C:\\x") == "loss 1.5, é, 日本, C:\\x"
    assert escape("a\nb\tc\r\x1b[31m\x9b\u2028\u202e\ud800") == "a\\nb\\tc\\r\\x1b[31m\\x9b\\u2028\\u202e\\ud800"


@pytest.fixture
def logger(run: RunDirectory) -> logging.Logger:
    made = logging.getLogger(f"test.{run.id}")
    made.setLevel(logging.DEBUG)
    made.propagate = False
    return made


def test_one_record_one_line(run: RunDirectory, logger: logging.Logger) -> None:
    handler = RunLogHandler(run.rank_log(3))
    logger.addHandler(handler)
    logger.info("step %d\nof %s", 1, "two")
    logger.debug("not asked for")
    try:
        raise ValueError("bad\x1b[2J")
    except ValueError:
        logger.exception("it failed")
    logger.warning("here", stack_info=True)
    logger.removeHandler(handler)
    handler.close()
    found = run.rank_log(3).read_text().splitlines()
    assert len(found) == 3
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO test\.\S+ step 1\\nof two", found[0])
    assert found[1].endswith("ValueError: bad\\x1b[2J")
    assert "it failed\\nTraceback" in found[1]
    assert "here\\nStack" in found[2]


def test_a_full_disk_loses_the_line_and_not_the_training(
    run: RunDirectory, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = RunLogHandler(run.train_log)
    logger.addHandler(handler)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lines.os, "write", full)
        logger.info("gone")
    logger.info("here")
    logger.removeHandler(handler)
    handler.close()
    assert handler.lost == 1
    assert "No space left" in capsys.readouterr().err
    assert run.train_log.read_text().count("\n") == 1


def test_errors_are_on_the_disk_at_once(
    run: RunDirectory, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = RunLogHandler(run.train_log)
    logger.addHandler(handler)
    synced: list[int] = []
    monkeypatch.setattr(lines.os, "fsync", synced.append)
    logger.info("ordinary")
    assert not synced
    logger.error("bad")
    assert len(synced) == 1
    logger.removeHandler(handler)
    handler.close()


def test_a_torn_log_goes_on_in_a_new_line(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_bytes(b"torn")
    handler = RunLogHandler(path)
    handler.emit(logging.LogRecord("n", logging.INFO, "f", 1, "m", None, None))
    handler.close()
    assert path.read_bytes().startswith(b"torn\n2")
    assert os.path.getsize(path) > 10
