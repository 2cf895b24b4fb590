"""A host whose key is not the expected one hears nothing about us: real servers, and what they logged."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import HostKeyRefused
from fleet.ssh import Cmd, Endpoint, Pool
from tests.farm.hosts import FarmHost
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import soon, wait_for

#: sshd's words for the first packet about a user: SSH_MSG_SERVICE_REQUEST.
ASKED = "receive packet: type 5"
TRUE = Cmd(("true",))


@pytest.fixture(scope="module")
def talkative(farm: Callable[..., Farm]) -> Farm:
    """Two hosts that log every packet."""
    return farm(2, config=("LogLevel DEBUG3",))


@pytest.fixture
def host(talkative: Farm) -> FarmHost:
    """One of them."""
    return talkative.hosts[0]


def refusal(pool: Pool, endpoint: Endpoint, host: FarmHost) -> HostKeyRefused:
    """The error of an attempt to use the host, which must not have come to authentication."""
    seen = len(host.log.read_text())
    with pytest.raises(HostKeyRefused) as caught:
        pool.to(endpoint).exec(TRUE, deadline=soon())
    # The whole key exchange, to our end of the connection.
    wait_for(lambda: "SSH2_MSG_NEWKEYS" in (told := host.log.read_text()[seen:]) and "Connection closed" in told)
    told = host.log.read_text()[seen:]
    assert ASKED not in told
    assert "userauth" not in told
    assert caught.value.host == host.name
    return caught.value


def line(host: FarmHost, names: str | None = None, marker: str = "") -> str:
    """The host's line of a known-hosts file, with its current key."""
    public = (host.home.parent / "host_key.pub").read_text().strip()
    return f"{marker} {names or f'[{host.address}]:{host.port}'} {public}\n".lstrip()


def write(path: Path, *lines: str) -> tuple[Path, ...]:
    """A known-hosts file with these lines."""
    path.write_text("".join(lines))
    return (path,)


def test_a_known_key_lets_us_in(pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost) -> None:
    seen = len(host.log.read_text())
    assert pool.to(endpoint(host)).exec(TRUE, deadline=soon()).ok
    # What the other tests rely on: an authentication would be in the log.
    assert ASKED in host.log.read_text()[seen:]


def test_an_unknown_key_is_refused(pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost) -> None:
    error = refusal(pool, endpoint(host, known_hosts=()), host)
    assert "unknown" in error.what
    assert host.host_key in error.what
    assert "fleet trust h0" in error.fix
    assert error.exit_code == 4


def test_a_changed_key_is_refused(
    pool: Pool, endpoint: Callable[..., Endpoint], talkative: Farm, host: FarmHost, tmp_path: Path
) -> None:
    other = talkative.hosts[1]
    known = write(tmp_path / "known", line(other, f"[{host.address}]:{host.port}"))
    error = refusal(pool, endpoint(host, known_hosts=known), host)
    assert "changed" in error.what
    assert host.host_key in error.what
    assert other.host_key in error.what
    assert f"{known[0]}:1" in error.what
    assert "fleet trust h0 --replace" in error.fix


def test_a_regenerated_key_is_refused_until_replaced(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], proxy: Callable[..., Any]
) -> None:
    """As seen from the wire: what a refused attempt sends is the key exchange, and no more than `trust` sends."""
    changing = farm(1, fresh=True, config=("LogLevel DEBUG3",))
    there = proxy(changing.hosts[0])
    where = endpoint(changing.through(0, there))
    assert pool.to(where).exec(TRUE, deadline=soon()).ok
    changing.new_host_key(0)
    pool.to(where).close()

    before = there.bytes_up
    assert "changed" in refusal(pool, where, changing.hosts[0]).what
    refused = there.bytes_up - before
    log = changing.hosts[0].log
    ends = log.read_text().count("Connection closed")
    pool.presented(where, soon())
    # Until then, the last of it may be on its way.
    wait_for(lambda: log.read_text().count("Connection closed") > ends)
    assert refused == there.bytes_up - before - refused


@pytest.mark.parametrize("known", [True, False])
def test_a_pin_beats_the_files(
    pool: Pool, endpoint: Callable[..., Endpoint], talkative: Farm, host: FarmHost, tmp_path: Path, known: bool
) -> None:
    other = talkative.hosts[1]
    files = write(tmp_path / "known", line(other, f"[{host.address}]:{host.port}"))
    files = (host.known_hosts,) if known else files
    assert pool.to(endpoint(host, known_hosts=files, host_key=host.host_key)).exec(TRUE, deadline=soon()).ok
    error = refusal(pool, endpoint(host, known_hosts=files, host_key=other.host_key), host)
    assert "not the pinned one" in error.what
    assert host.host_key in error.what
    assert other.host_key in error.what


@pytest.mark.parametrize("pinned", [True, False])
def test_a_revoked_key_is_refused_wherever_it_is_listed(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, user_files: Path, pinned: bool
) -> None:
    write(user_files / "known_hosts", line(host, "*", "@revoked"))
    error = refusal(pool, endpoint(host, host_key=host.host_key if pinned else None), host)
    assert "revoked" in error.what
    assert "never accepted" in error.fix


def test_openssh_list_of_revoked_keys(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, user_files: Path, tmp_path: Path
) -> None:
    revoked = tmp_path / "revoked"
    config = user_files / "config"
    config.write_text(config.read_text() + f"RevokedHostKeys {revoked}\n")
    with pytest.raises(HostKeyRefused, match="No such file"):
        pool.to(endpoint(host)).exec(TRUE, deadline=soon())
    revoked.write_text("# none yet\n")
    assert pool.to(endpoint(host)).exec(TRUE, deadline=soon()).ok
    pool.close()
    revoked.write_bytes((host.home.parent / "host_key.pub").read_bytes())
    assert "revoked" in refusal(pool, endpoint(host), host).what
    subprocess.run(["ssh-keygen", "-k", "-f", revoked, host.home.parent / "host_key.pub"], check=True)
    with pytest.raises(HostKeyRefused, match="binary revocation list"):
        pool.to(endpoint(host)).exec(TRUE, deadline=soon())


def test_an_authority_is_refused_with_an_explanation(
    pool: Pool, endpoint: Callable[..., Endpoint], talkative: Farm, host: FarmHost, tmp_path: Path
) -> None:
    authority = line(talkative.hosts[1], "127.*,[127.*]:*", "@cert-authority")
    error = refusal(pool, endpoint(host, known_hosts=write(tmp_path / "known", authority)), host)
    assert "certificate" in error.why
    assert "fleet trust h0" in error.fix
    # The key itself is as good as ever.
    known = write(tmp_path / "known", authority, line(host))
    assert pool.to(endpoint(host, known_hosts=known)).exec(TRUE, deadline=soon()).ok


def test_the_first_file_that_knows_the_host_decides(
    pool: Pool, endpoint: Callable[..., Endpoint], talkative: Farm, host: FarmHost, user_files: Path, tmp_path: Path
) -> None:
    write(user_files / "known_hosts", line(host))
    assert pool.to(endpoint(host, known_hosts=())).exec(TRUE, deadline=soon()).ok
    wrong = write(tmp_path / "known", line(talkative.hosts[1], f"[{host.address}]:{host.port}"))
    assert "changed" in refusal(pool, endpoint(host, known_hosts=wrong), host).what


def test_hashed_names_and_aliases(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, user_files: Path, tmp_path: Path
) -> None:
    (known,) = write(tmp_path / "known", line(host))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert known.read_text().startswith("|1|")
    assert pool.to(endpoint(host, known_hosts=(known,))).exec(TRUE, deadline=soon()).ok
    config = user_files / "config"
    config.write_text(config.read_text() + "HostKeyAlias Gate\n")
    write(known, line(host, "gate"))
    # Another pool, since settings are asked for once.
    aliased = endpoint(host, known_hosts=(known,), ssh_config=config.rename(config.with_name("aliased")))
    assert pool.to(aliased).exec(TRUE, deadline=soon()).ok
