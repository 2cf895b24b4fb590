"""Calls of the agent: it is brought once, run without a trace where that is asked, and repeated after a lost link."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from fleet.agent import Agent
from fleet.errors import Busy, NotFound, RemoteFailed, StopIncomplete, Usage
from fleet.ssh import Cmd, Deadline, Result
from fleet.ssh.failures import ConnectionLost
from tests.farm.local import LocalTransport
from tests.fleet.remote.interpreters import interpreters

DEPLOY_DIR = "~/fleet/my project"


def soon() -> Deadline:
    """Long enough for anything here."""
    return Deadline.after(30)


class Losing:
    """A transport that loses its connection in the next commands, before or after they ran."""

    def __init__(self, inner: LocalTransport, *, times: int, ran: bool) -> None:
        self.name, self._inner, self._left, self._ran = inner.name, inner, times, ran
        self.tried = 0

    def exec(self, cmd: Cmd, **options) -> Result:
        """Run it, unless the connection is to be lost before; then perhaps lose it."""
        self.tried += 1
        if self._left and not self._ran:
            self._left -= 1
            raise lost()
        result = self._inner.exec(cmd, **options)
        if self._left:
            self._left -= 1
            raise lost()
        return result

    def stream_in(self, cmd: Cmd, chunks, **options) -> Result:
        """As it is."""
        return self._inner.stream_in(cmd, chunks, **options)


def lost() -> ConnectionLost:
    """What a transport raises."""
    return ConnectionLost("cut", why="the test cut it", fix="again", example="fleet status h", host="h")


@pytest.fixture
def host(tmp_path: Path) -> LocalTransport:
    """A host of this machine."""
    (tmp_path / "home").mkdir()
    return LocalTransport(tmp_path / "home", "h")


@pytest.fixture
def deployed(host: LocalTransport) -> Path:
    """Its deploy_dir."""
    place = host.home / "fleet" / "my project"
    place.mkdir(parents=True)
    return place


def tools(place: Path) -> list[str]:
    """The agents that are kept there, without their byte code."""
    return sorted(path.name for path in place.glob("tools/*") if path.name.count(".") == 1)


def test_it_is_brought_once_and_kept_under_its_digest(host: LocalTransport, deployed: Path) -> None:
    assert Agent(host, DEPLOY_DIR).call("runs", {"deploy_dir": DEPLOY_DIR}, deadline=soon()) == {"runs": []}
    [name] = tools(deployed)
    kept = deployed / "tools" / name
    assert name == f"{hashlib.sha256(kept.read_bytes()).hexdigest()[:16]}.pyz"
    assert kept.stat().st_mode & 0o777 == 0o600
    before = kept.stat().st_mtime_ns
    Agent(host, DEPLOY_DIR).call("runs", {"deploy_dir": DEPLOY_DIR}, deadline=soon())
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("keep", [True, False])
def test_a_host_without_deploy_dir_is_left_as_it_is(host: LocalTransport, keep: bool) -> None:
    answer = Agent(host, DEPLOY_DIR, keep=keep).call("runs", {"deploy_dir": DEPLOY_DIR}, deadline=soon())
    assert answer == {"runs": []}
    assert list(host.home.iterdir()) == []


def test_without_keep_nothing_stays(host: LocalTransport, deployed: Path) -> None:
    agent = Agent(host, DEPLOY_DIR, keep=False)
    assert agent.call("ps", {"deploy_dir": DEPLOY_DIR}, deadline=soon()) == {"processes": []}
    assert list(deployed.iterdir()) == []


@pytest.mark.parametrize("version", interpreters())
def test_every_python_that_hosts_have_runs_it_once(host: LocalTransport, version: str) -> None:
    agent = Agent(host, DEPLOY_DIR, interpreters()[version], keep=False)
    assert agent.call("runs", {"deploy_dir": DEPLOY_DIR}, deadline=soon()) == {"runs": []}


@pytest.mark.parametrize("ran", [True, False], ids=["answer-lost", "question-lost"])
@pytest.mark.usefixtures("deployed")
def test_a_lost_connection_is_asked_again(host: LocalTransport, ran: bool) -> None:
    losing = Losing(host, times=2, ran=ran)
    assert Agent(losing, DEPLOY_DIR).call("runs", {"deploy_dir": DEPLOY_DIR}, deadline=soon()) == {"runs": []}
    with pytest.raises(ConnectionLost):
        Agent(Losing(host, times=3, ran=ran), DEPLOY_DIR).call("runs", {"deploy_dir": DEPLOY_DIR}, deadline=soon())


def answering(host: LocalTransport, deployed: Path, script: str) -> Agent:
    """An agent whose program on the host is replaced by a few lines of Python."""
    agent = Agent(host, DEPLOY_DIR)
    agent.call("runs", {"deploy_dir": DEPLOY_DIR}, deadline=soon())
    [name] = tools(deployed)
    (deployed / "tools" / name).write_text(script)
    return agent


REFUSALS = [("usage", Usage), ("not-found", NotFound), ("stop-incomplete", StopIncomplete), ("busy", Busy)]


@pytest.mark.parametrize(("kind", "error"), [*REFUSALS, ("never-heard-of", RemoteFailed)])
def test_a_refusal_becomes_the_error_that_it_names(
    host: LocalTransport, deployed: Path, kind: str, error: type
) -> None:
    parts = {"kind": kind, "what": "no", "why": "because", "fix": "do", "example": "fleet stop lab-a --kill"}
    status = 75 if kind == "busy" else 1
    agent = answering(host, deployed, f"print({json.dumps({'error': parts})!r}); raise SystemExit({status})")
    with pytest.raises(error) as raised:
        agent.call("runs", {}, deadline=soon())
    found = raised.value
    assert (found.host, found.what, found.why, found.fix) == ("h", "h: no", "because", "do")
    # The host does not know what it is called here.
    assert found.example == "fleet stop h --kill"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("raise SystemExit(3)", "status 3"),
        ("print('not json')", "status 0"),
        ("print('[]')", "it said nothing"),
        ("import nothing_like_this", "nothing_like_this"),
    ],
)
def test_an_agent_that_breaks_is_told_with_its_words(
    host: LocalTransport, deployed: Path, script: str, words: str
) -> None:
    with pytest.raises(RemoteFailed, match=words):
        answering(host, deployed, script).call("runs", {}, deadline=soon())


def test_words_before_the_answer_do_not_hurt(host: LocalTransport, deployed: Path) -> None:
    agent = answering(host, deployed, "print('Welcome to h!'); print('{\"runs\": []}')")
    assert agent.call("runs", {}, deadline=soon()) == {"runs": []}


def test_a_host_without_python_says_so(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "printf", "mkdir", "cut"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    (tmp_path / "home" / "fleet").mkdir(parents=True)
    host = LocalTransport(tmp_path / "home", "h", path=str(tools))
    for agent in (Agent(host, "~/fleet", "no-such-python"), Agent(host, "~/fleet", "no-such-python", keep=False)):
        # Where the system's own Python is, at its usual place, it is found without PATH.
        if Path("/usr/bin/python3").exists() or Path("/usr/local/bin/python3").exists():
            assert agent.call("runs", {"deploy_dir": "~/fleet"}, deadline=soon()) == {"runs": []}
            continue
        with pytest.raises(RemoteFailed, match="has no Python: tried 'no-such-python'"):
            agent.call("runs", {"deploy_dir": "~/fleet"}, deadline=soon())
