"""What a person sees of a run, and that nobody has to look."""

from __future__ import annotations

import errno
import io
import sys

import pytest
from rich.console import Console as RichConsole

from hydra.training.console import Console

ROW = {"step": 10, "loss": 2.5, "lr": 1e-3, "tokens_per_s": 5e3, "step_ms": 20.0, "skipped": False}


def test_a_terminal_gets_a_bar_and_a_file_gets_lines():
    lines = io.StringIO()
    with Console(20, 10, rich=RichConsole(file=lines)) as console:
        console.begin(0)
        console.show(ROW | {"step": 9})
        console.show(ROW)
    assert lines.getvalue().splitlines() == ["step 10/20  loss 2.500  lr 1.00e-03  5,000 tok/s  left 0 s"]
    bar = io.StringIO()
    with Console(20, 10, rich=RichConsole(file=bar, force_terminal=True, width=120)) as console:
        console.begin(0)
        console.show(ROW)
        console.say("a line of its own")
    assert "10/20" in bar.getvalue()
    assert "loss 2.500" in bar.getvalue()
    assert "a line of its own" in bar.getvalue()


def test_ranks_that_do_not_lead_are_quiet():
    out = io.StringIO()
    with Console(20, 1, quiet=True, rich=RichConsole(file=out)) as console:
        console.begin(0)
        console.show(ROW)
        console.say("nothing")
    assert out.getvalue() == ""


class Lost(io.StringIO):
    """An output that takes nothing any more."""

    def __init__(self, error):
        super().__init__()
        self._error = error

    def write(self, text):
        raise self._error


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "pipe"), OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("terminal", [False, True])
def test_an_output_that_is_lost_ends_nothing_and_is_told_once(error, terminal, caplog, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Lost(error))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    with caplog.at_level("WARNING", "hydra"), Console(20, 10) as console:
        console.say("before")
        console.begin(0)
        console.show(ROW)
        console.say("after")
    assert [record.message for record in caplog.records if "standard output is lost" in record.message] == [
        f"standard output is lost ({error if error.errno != errno.EPIPE else 'nobody reads it any more'}); "
        "training goes on without it"
    ]


def test_text_that_the_output_cannot_spell_is_escaped():
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    Console(20, 10, rich=RichConsole(file=out)).say("caf\u00e9 \ufffd")
    assert out.buffer.getvalue() == b"caf\\xe9 \\ufffd\n"
