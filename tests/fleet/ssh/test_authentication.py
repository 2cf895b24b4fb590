"""Who we say we are: pinned identities, locked keys, agents, and passwords where they may be asked for."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.errors import AuthenticationFailed
from fleet.ssh import Cmd, Endpoint, Pool
from fleet.ssh.wire import paramiko
from tests.farm.hosts import FarmHost
from tests.farm.keys import make_key
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import soon, wait_for

TRUE = Cmd(("true",))
SECRET = "a long passphrase"


@pytest.fixture
def host(farm: Callable[..., Farm]) -> FarmHost:
    """A host that logs every attempt to sign in."""
    return farm(1, config=("LogLevel DEBUG1", "MaxAuthTries 4")).hosts[0]


@pytest.fixture
def locked(host: FarmHost, tmp_path: Path) -> Path:
    """The host's key under a passphrase."""
    path = tmp_path / "locked"
    path.write_bytes(host.identity.read_bytes())
    path.chmod(0o600)
    change = ["ssh-keygen", "-q", "-p", "-a", "1", "-P", "", "-N", SECRET, "-f", path]
    subprocess.run(change, check=True, capture_output=True)
    return path


@pytest.fixture
def agent(tmp_path: Path, user_files: Path) -> Iterator[Callable[..., None]]:
    """A running agent that the configuration names; call it with the keys to add."""
    # A socket's name has room for 107 characters only.
    place = Path(os.path.relpath(tmp_path)) / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    config = user_files / "config"
    config.write_text(config.read_text().replace("IdentityAgent none", f"IdentityAgent {place.absolute()}"))
    wait_for(place.exists)

    def add(*keys: Path) -> None:
        environment = {**os.environ, "SSH_AUTH_SOCK": str(place)}
        subprocess.run(["ssh-add", "-q", *keys], check=True, env=environment, stdin=subprocess.DEVNULL)

    try:
        yield add
    finally:
        process.terminate()
        process.wait()


def attempts(host: FarmHost, since: int) -> int:
    """How many keys were refused or taken, by the server's account."""
    return host.log.read_text()[since:].count("userauth-request for user") - host.log.read_text()[since:].count(
        "method none"
    )


def never(prompt: str) -> str | None:
    """Nobody may be asked."""
    raise AssertionError(f"asked: {prompt}")


def test_a_pinned_identity_is_the_only_key_offered(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, agent: Callable[..., None], tmp_path: Path
) -> None:
    wrong = make_key(tmp_path / "wrong").path
    agent(host.identity)
    since = len(host.log.read_text())
    with pytest.raises(AuthenticationFailed) as caught:
        pool.to(endpoint(host, identity=wrong)).exec(TRUE, deadline=soon())
    assert f"identity {wrong}: refused" in caught.value.what
    assert caught.value.exit_code == 5
    assert caught.value.host == host.name
    wait_for(lambda: "Connection closed" in host.log.read_text()[since:])
    assert attempts(host, since) == 1


def test_a_missing_identity_is_named(pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost) -> None:
    with pytest.raises(AuthenticationFailed, match="no-such-key: it does not exist"):
        pool.to(endpoint(host, identity=Path("/no-such-key"))).exec(TRUE, deadline=soon())


def test_a_file_that_is_no_key_is_named(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, tmp_path: Path
) -> None:
    (tmp_path / "odd").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(AuthenticationFailed, match=r"the key .*odd cannot be used"):
        pool.to(endpoint(host, identity=tmp_path / "odd")).exec(TRUE, deadline=soon())


def test_no_key_at_all(pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost) -> None:
    with pytest.raises(AuthenticationFailed, match="there is no key to offer"):
        pool.to(endpoint(host, identity=None)).exec(TRUE, deadline=soon())


def test_the_configured_identity_is_found(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, user_files: Path
) -> None:
    (user_files / "id_ed25519").write_bytes(host.identity.read_bytes())
    assert pool.to(endpoint(host, identity=None)).exec(TRUE, deadline=soon()).ok


@pytest.mark.parametrize(("kind", "form"), [("rsa", "PEM"), ("ecdsa", "RFC4716"), ("ed25519", "RFC4716")])
def test_kinds_and_forms_of_keys(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], tmp_path: Path, kind: str, form: str
) -> None:
    host = farm(1).hosts[0]
    bits = ["-b", "2048"] if kind == "rsa" else []
    key = tmp_path / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-m", form, "-N", "", "-f", key], check=True)
    authorized = host.home / ".ssh" / "authorized_keys"
    with authorized.open("a") as file:
        file.write(key.with_name(kind + ".pub").read_text())
    assert pool.to(endpoint(host, identity=key)).exec(TRUE, deadline=soon()).ok


def test_a_locked_key_is_unlocked_once(endpoint: Callable[..., Endpoint], host: FarmHost, locked: Path) -> None:
    asked: list[str] = []
    answers = ["wrong", SECRET]

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return answers.pop(0)

    with Pool({}, ask=ask) as pool:
        hosts = [pool.to(endpoint(host, name=f"h{number}", identity=locked)) for number in range(3)]
        threads = [threading.Thread(target=one.exec, args=(TRUE,), kwargs={"deadline": soon()}) for one in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert all(one.exec(TRUE, deadline=soon()).ok for one in hosts)
    assert asked == [f"Passphrase for {locked}: "] * 2


def test_a_locked_key_without_a_terminal(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, locked: Path
) -> None:
    with pytest.raises(AuthenticationFailed, match="it is encrypted, no agent holds it, and there is no terminal"):
        pool.to(endpoint(host, identity=locked)).exec(TRUE, deadline=soon())


def test_a_locked_key_that_nobody_can_open(endpoint: Callable[..., Endpoint], host: FarmHost, locked: Path) -> None:
    with Pool({}, ask=lambda _: "wrong") as pool, pytest.raises(AuthenticationFailed, match="locked cannot be used"):
        pool.to(endpoint(host, identity=locked)).exec(TRUE, deadline=soon())


def test_the_agent_stands_in_for_a_locked_key(
    endpoint: Callable[..., Endpoint], host: FarmHost, locked: Path, agent: Callable[..., None]
) -> None:
    agent(host.identity)
    with Pool({}, ask=never) as pool:
        assert pool.to(endpoint(host, identity=locked)).exec(TRUE, deadline=soon()).ok


@pytest.mark.parametrize("named", ["key", "key.pub"])
def test_the_agent_has_what_is_not_here(
    endpoint: Callable[..., Endpoint], host: FarmHost, agent: Callable[..., None], tmp_path: Path, named: str
) -> None:
    """Only the public key is on this machine, under its own name or that of the private one."""
    public = host.identity.with_name(host.identity.name + ".pub").read_text()
    (tmp_path / "key.pub").write_text(public)
    with Pool({}, ask=never) as pool:
        where = endpoint(host, identity=tmp_path / named)
        with pytest.raises(AuthenticationFailed, match="only its public key is here"):
            pool.to(where).exec(TRUE, deadline=soon())
        agent(host.identity)
        assert pool.to(where).exec(TRUE, deadline=soon()).ok


@pytest.mark.parametrize("only", [False, True])
def test_identities_only_keeps_other_agent_keys_back(
    pool: Pool,
    endpoint: Callable[..., Endpoint],
    host: FarmHost,
    agent: Callable[..., None],
    user_files: Path,
    only: bool,
) -> None:
    agent(host.identity)
    config = user_files / "config"
    config.write_text(config.read_text() + f"IdentitiesOnly {'yes' if only else 'no'}\n")
    transport = pool.to(endpoint(host, identity=None))
    if not only:
        assert transport.exec(TRUE, deadline=soon()).ok
        return
    with pytest.raises(AuthenticationFailed, match="there is no key to offer"):
        transport.exec(TRUE, deadline=soon())


def test_too_many_keys_are_explained(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, agent: Callable[..., None], tmp_path: Path
) -> None:
    agent(*(make_key(tmp_path / f"key{number}").path for number in range(6)))
    with pytest.raises(AuthenticationFailed) as caught:
        pool.to(endpoint(host, identity=None)).exec(TRUE, deadline=soon())
    assert caught.value.what.count("refused") == 3
    assert "the host ended the connection: Too many authentication failures" in caught.value.what


class PasswordOnly(paramiko.ServerInterface):
    """A server, in this process, that asks for a password in one of the two ways."""

    def __init__(self, method: str) -> None:
        self._method = method

    def get_allowed_auths(self, username: str) -> str:
        return f"publickey,{self._method}"

    def check_auth_password(self, username: str, password: str) -> int:
        return 0 if self._method == "password" and password == SECRET else 2

    def check_auth_interactive(self, username: str, submethods: str) -> object:
        return paramiko.InteractiveQuery("", "", "Password: ")

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return 0 if responses == [SECRET] else 2


@pytest.fixture(params=["password", "keyboard-interactive"])
def password_host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    """The endpoint of such a server."""
    key = make_key(tmp_path / "server")
    listener = socket.create_server(("127.0.0.1", 0))
    serving: list[paramiko.Transport] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                transport = paramiko.Transport(listener.accept()[0])
                serving.append(transport)
                transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(key.path)))
                transport.start_server(threading.Event(), PasswordOnly(request.param))

    thread = threading.Thread(target=serve)
    thread.start()
    (tmp_path / "config").write_text("IdentityAgent none\nIdentityFile none\n")
    yield Endpoint(
        "box", "127.0.0.1", listener.getsockname()[1], "ada", host_key=key.fingerprint, ssh_config=tmp_path / "config"
    )
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)
    for transport in serving:
        transport.close()


def test_a_password_is_used_only_where_it_may_be_asked_for(password_host: Endpoint) -> None:
    with Pool({}) as pool, pytest.raises(AuthenticationFailed):
        pool.to(password_host).open(soon())
    prompts: list[str] = []
    with Pool({}, ask_password=lambda prompt: prompts.append(prompt) or SECRET) as pool:
        pool.to(password_host).open(soon())
    assert prompts == ["Password of ada on box: "]
    with (
        Pool({}, ask_password=lambda _: "wrong") as pool,
        pytest.raises(AuthenticationFailed, match="password: refused"),
    ):
        pool.to(password_host).open(soon())
