"""A transport to this very machine through `sh`, for tests of what is said over a connection rather than of it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from fleet.ssh import Cmd, Deadline, Result, Sink


class LocalTransport:
    """Runs commands as a login on a host would: in `home`, with only the environment that sshd would give."""

    def __init__(self, home: Path, name: str = "local", path: str = "/usr/local/bin:/usr/bin:/bin", **env: str) -> None:
        self.name, self.home = name, home
        self._env = {"HOME": str(home), "PATH": path, "USER": "tester", "SHELL": "/bin/sh", **env}

    def exec(self, cmd: Cmd, *, stdin: bytes = b"", deadline: Deadline, sink: Sink | None = None) -> Result:
        assert not cmd.held, "this transport ends the input at once"
        process = self._start(cmd)
        try:
            out, err = process.communicate(stdin, timeout=deadline.remaining())
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise deadline.error(f"{cmd.argv[0]} on {self.name}") from None
        if sink is None:
            return Result(_status(process), out, err)
        sink("out", out)
        sink("err", err)
        return Result(_status(process))

    def stream_in(self, cmd: Cmd, chunks: Iterable[bytes], *, deadline: Deadline, sink: Sink | None = None) -> Result:
        process = self._start(cmd)
        assert process.stdin is not None
        errors: list[bytes] = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read() if process.stderr else b""))
        reader.start()
        try:
            for chunk in chunks:
                process.stdin.write(chunk)
            process.stdin.close()
        except BrokenPipeError:
            pass
        out = process.stdout.read() if process.stdout else b""
        reader.join()
        process.wait(deadline.remaining())
        if sink is None:
            return Result(_status(process), out, b"".join(errors))
        sink("out", out)
        sink("err", b"".join(errors))
        return Result(_status(process))

    def stream_out(self, cmd: Cmd, *, deadline: Deadline) -> LocalOutput:
        return LocalOutput(self._start(cmd))

    def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            ["/bin/sh", "-c", cmd.line()], cwd=self.home, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe
        )


class LocalOutput:
    """Stdout of a local process as it comes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __iter__(self) -> Iterator[bytes]:
        assert self._process.stdout is not None
        while piece := self._process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
            yield piece

    def result(self) -> Result:
        assert self._process.stderr is not None
        err = self._process.stderr.read()
        self._process.wait()
        return Result(_status(self._process), b"", err)

    def close(self) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _status(process: subprocess.Popen[bytes]) -> int:
    return process.returncode if process.returncode >= 0 else 128 - process.returncode
