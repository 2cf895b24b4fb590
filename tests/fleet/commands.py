"""The command line under test: in this process where that is enough, as one of its own where it matters."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.cli import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object that --json printed."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self
        return json.loads(lines[0])

    @property
    def data(self) -> Any:
        """Its data."""
        return self.json["data"]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What a streaming command printed."""
        return [json.loads(line) for line in self.out.splitlines()]


class Fleet:
    """The command line with one fleet.json."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def __call__(self, *argv: str, expect: int | None = 0) -> Done:
        """Run a command in this process. Its exit code must be `expect`, unless that is None."""
        out, err = Captured(), Captured()
        hook, before = sys.excepthook, Path.cwd()
        code = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main(["--config", str(self.config), *argv])
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 0
        finally:
            sys.excepthook = hook
            os.chdir(before)
        done = Done(argv, code, out.text, err.text)
        assert expect in (None, code), done
        return done

    def process(self, *argv: str, **options: Any) -> subprocess.Popen[str]:
        """Begin to run a command as a process of its own."""
        pipe = subprocess.PIPE
        given = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "text": True, "cwd": ROOT, **options}
        return subprocess.Popen([sys.executable, "-m", "fleet.cli", "--config", str(self.config), *argv], **given)

    def run(self, *argv: str, expect: int | None = 0, timeout: float = 120, **options: Any) -> Done:
        """Run a command as a process of its own."""
        with self.process(*argv, **options) as process:
            out, err = process.communicate(timeout=timeout)
        done = Done(argv, process.returncode, out, err)
        assert expect in (None, process.returncode), done
        return done


class Captured(io.TextIOWrapper):
    """A stream that keeps what is written to it, as text or as bytes."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, "utf-8", write_through=True)

    @property
    def text(self) -> str:
        """What was written."""
        return self._bytes.getvalue().decode("utf-8", "replace")
