"""One host's agent, found by its digest, so that two versions of `fleet` never run each other's."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from fleet.agent.refusals import refusal, refused_commands
from fleet.errors import Busy, RemoteFailed
from fleet.remote.archive import archive
from fleet.ssh import Cmd, Deadline, Result, Transport, retried

_BUSY: Final = 75
_ABSENT: Final = 77
_NO_PYTHON: Final = 78
_NO_DEPLOY_DIR: Final = 79
#: The line before the agent's answer.
_BEGUN: Final = b"fleet-agent 1"
#: The command that makes a deploy_dir. All others leave a host without one as it is.
_START: Final = "start"


class Agent:
    """The agent of one deploy_dir on one host."""

    def __init__(
        self,
        transport: Transport,
        deploy_dir: str,
        python: str = "python3",
        *,
        keep: bool = True,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`python` names the interpreter that runs the agent, 3.8 or newer; common places are tried after it.

        Without `keep` nothing is left on the host: an agent that it does not have is run once. `tell` hears of what is
        slower than it could be.
        """
        self.transport, self.deploy_dir = transport, deploy_dir
        self._python, self._keep, self._tell = python, keep, tell

    def call(self, command: str, request: dict[str, Any], *, deadline: Deadline) -> dict[str, Any]:
        """Send a request and return the answer; again if the connection was lost, since every command is safe to
        repeat: it changes nothing, or is told by its run id from one that was carried out already.

        Raises Busy when somebody else holds what is needed, the FleetError that the agent's refusal names, and
        RemoteFailed when it broke.
        """
        body = json.dumps(request).encode()
        return self._answer(command, retried(lambda: self._result(command, body, deadline), deadline=deadline))

    def _result(self, command: str, body: bytes, deadline: Deadline) -> Result:
        result = self._run(command, body, deadline)
        if result.rc not in (_ABSENT, _NO_DEPLOY_DIR):
            return result
        if not self._keep or (result.rc == _NO_DEPLOY_DIR and command != _START):
            return self._run_once(command, body, deadline)
        try:
            self._put(deadline)
        except RemoteFailed:
            # A full disk must not keep anybody from looking at runs and from stopping them.
            if command == _START:
                raise
            return self._run_once(command, body, deadline)
        return self._run(command, body, deadline)

    def _run(self, command: str, body: bytes, deadline: Deadline) -> Result:
        _, digest = _archive()
        keep = ("keep",) if self._keep else ()
        cmd = Cmd.script("agent-run.sh", self.deploy_dir, self._python, digest, command, *keep)
        return self._begun(self.transport.exec(cmd, stdin=body, deadline=deadline))

    def _run_once(self, command: str, body: bytes, deadline: Deadline) -> Result:
        data, digest = _archive()
        cmd = Cmd.script("agent-once.sh", self._python, str(len(data)), digest, command)
        return self._begun(self.transport.stream_in(cmd, [data, body], deadline=deadline))

    def _begun(self, result: Result) -> Result:
        """The same result, if it is one of our script. Raises RemoteFailed."""
        if _BEGUN not in result.out.split(b"\n"):
            raise refused_commands(self.transport.name, result)
        return result

    def _put(self, deadline: Deadline) -> None:
        data, digest = _archive()
        cmd = Cmd.script("agent-put.sh", self.deploy_dir, self._python, digest)
        result = self.transport.stream_in(cmd, [data], deadline=deadline)
        if result.rc == _NO_PYTHON:
            raise self._no_python()
        if not result.ok:
            raise RemoteFailed(
                f"{self.transport.name} did not take the agent: {_words(result)}",
                why="without it nothing can be started or asked there",
                fix=f"see whether {self.deploy_dir} can be written and has space",
                example=f"fleet run {self.transport.name} -- df -h",
                host=self.transport.name,
            )

    def _answer(self, command: str, result: Result) -> dict[str, Any]:
        name = self.transport.name
        if result.rc == _NO_PYTHON:
            raise self._no_python()
        answer = _parsed(result.out)
        if answer is None:
            raise RemoteFailed(
                f"the agent on {name} broke in '{command}' (status {result.rc}): {_words(result)}",
                why="it ended without an answer",
                fix="report it with this text, if the host has space, memory and Python 3.8 or newer",
                example=f"fleet doctor {name}",
                host=name,
            )
        if "slow" in answer:
            self._tell(
                f"{name}: the agent is compiled at each call, since its byte code cannot be kept ({answer.pop('slow')})"
            )
        if "error" in answer:
            raise refusal(name, answer["error"], busy=result.rc == _BUSY)
        if result.rc == _BUSY:
            raise Busy(
                f"{name} is busy: {answer.get('holder', answer)}",
                why="two runs on one device would share its memory and slow each other down",
                fix="wait for it to end, stop it, or choose other devices",
                example=f"fleet status {name}",
                host=name,
            )
        return answer

    def _no_python(self) -> RemoteFailed:
        name = self.transport.name
        return RemoteFailed(
            f"{name} has no Python: tried {self._python!r}, python3 on PATH, /usr/bin and /usr/local/bin",
            why="what runs on a host is written in Python 3.8",
            fix="install Python 3, or name it as `python` of this instance in fleet.json",
            example='"python": "/opt/conda/bin/python"',
            host=name,
        )


@cache
def _archive() -> tuple[bytes, str]:
    return archive()


def _parsed(out: bytes) -> dict[str, Any] | None:
    lines = out.splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _words(result: Result) -> str:
    lines = result.err.decode("utf-8", "replace").strip().splitlines()
    return " | ".join(lines[-3:]) or "it said nothing"
