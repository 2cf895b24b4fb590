"""`fleet trust`: the key is fetched without signing in, compared, and kept where nothing else is disturbed."""

from __future__ import annotations

import base64
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import HostKeyRefused, Usage
from fleet.ssh import Cmd, Endpoint, Pool
from fleet.ssh.hostkeys import Expectation
from fleet.ssh.knownhosts import HostKey, read_entries
from fleet.ssh.trust import Presented, store
from tests.farm.hosts import FarmHost
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import soon

KEYS = [HostKey("ssh-ed25519", bytes([number]) * 51) for number in range(4)]


@pytest.fixture
def host(farm: Callable[..., Farm]) -> FarmHost:
    """A host of the shared farm."""
    return farm(1).hosts[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where trusted keys are kept; neither the file nor its folder exists."""
    return tmp_path / ".fleet" / "known_hosts"


def text(key: HostKey) -> str:
    """A key as files hold it."""
    return f"{key.kind} {base64.b64encode(key.blob).decode()}"


def shown(file: Path, key: HostKey, name: str = "box") -> Presented:
    """A key as if a host of this name had shown it."""
    endpoint = Endpoint("box", name, known_hosts=(file,))
    expectation = Expectation(endpoint, name, tuple(e for e in read_entries(file) if e.speaks_of(name)), ())
    return Presented(endpoint, name, key, expectation.judge(key), expectation.entries)


def test_trusting_an_unknown_host(pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, file: Path) -> None:
    where = endpoint(host, known_hosts=(file,), identity=Path("no such key"))
    presented = pool.presented(where, soon())
    assert (presented.verdict, presented.kind, presented.fingerprint) == ("unknown", "ssh-ed25519", host.host_key)
    assert store(presented) is True
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert pool.to(endpoint(host, known_hosts=(file,))).exec(Cmd(("true",)), deadline=soon()).ok
    again = pool.presented(where, soon())
    assert again.verdict == "known"
    assert store(again) is False
    assert len(file.read_text().splitlines()) == 1


def test_openssh_reads_what_is_kept(pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, file: Path) -> None:
    store(pool.presented(endpoint(host, known_hosts=(file,)), soon()))
    found = subprocess.run(
        ["ssh-keygen", "-l", "-F", f"[{host.address}]:{host.port}", "-f", file], capture_output=True, text=True
    )
    assert host.host_key in found.stdout


def test_a_changed_key_needs_to_be_replaced(
    pool: Pool, endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], file: Path
) -> None:
    changing = farm(1, fresh=True)
    where = endpoint(changing.hosts[0], known_hosts=(file,))
    store(pool.presented(where, soon()))
    old = changing.hosts[0].host_key
    now = changing.new_host_key(0)
    presented = pool.presented(where, soon())
    assert presented.verdict == "changed"
    assert [entry.key.fingerprint for entry in presented.known] == [old]
    with pytest.raises(HostKeyRefused) as caught:
        store(presented)
    assert old in caught.value.what
    assert now.host_key in caught.value.what
    assert store(presented, replace=True) is True
    assert pool.to(where).exec(Cmd(("true",)), deadline=soon()).ok
    assert len(file.read_text().splitlines()) == 1


def test_another_fingerprint_than_announced_is_refused(file: Path) -> None:
    presented = shown(file, KEYS[0])
    with pytest.raises(HostKeyRefused, match=KEYS[1].fingerprint):
        store(presented, fingerprint=KEYS[1].fingerprint)
    assert not file.exists()
    assert store(presented, fingerprint=KEYS[0].fingerprint)


def test_a_pinned_or_revoked_key_is_not_stored(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, file: Path, user_files: Path
) -> None:
    pinned = pool.presented(endpoint(host, known_hosts=(file,), host_key=KEYS[0].fingerprint), soon())
    with pytest.raises(HostKeyRefused, match="pin"):
        store(pinned, replace=True)
    public = (host.home.parent / "host_key.pub").read_text()
    (user_files / "known_hosts").write_text(f"@revoked * {public}")
    with pytest.raises(HostKeyRefused, match="revoked"):
        store(pool.presented(endpoint(host, known_hosts=(file,)), soon()), replace=True)
    assert not file.exists()


def test_replacing_leaves_other_hosts_and_comments_alone(file: Path) -> None:
    file.parent.mkdir()
    old, other, new = (text(key) for key in KEYS[:3])
    file.write_text(f"# mine\nother {other}\nbox,other,*.x {old} a comment\nBOX {old}\n@revoked box {other}\n")
    assert store(shown(file, KEYS[2]), replace=True)
    kept = f"# mine\nother {other}\nother,*.x {old} a comment\n@revoked box {other}\nbox {new}\n"
    assert file.read_text() == kept


def test_replacing_a_hashed_name(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(f"box {text(KEYS[0])}\nother {text(KEYS[1])}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    store(shown(file, KEYS[2]), replace=True)
    assert [entry.key for entry in read_entries(file) if entry.speaks_of("box")] == [KEYS[2]]
    assert [entry.key for entry in read_entries(file) if entry.speaks_of("other")] == [KEYS[1]]


def test_a_pattern_is_not_ours_to_change(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(f"*.example,b* {text(KEYS[0])}\n")
    with pytest.raises(Usage, match="by a pattern"):
        store(shown(file, KEYS[1]), replace=True)
    assert file.read_text() == f"*.example,b* {text(KEYS[0])}\n"


def test_nobody_loses_a_line(file: Path) -> None:
    """Many writers at once: each key is there afterwards, and no other file is."""
    keys = [HostKey("ssh-ed25519", bytes([number]) * 51) for number in range(24)]
    threads = [
        threading.Thread(target=store, args=(shown(file, key, f"host{number}"),)) for number, key in enumerate(keys)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {entry.key for entry in read_entries(file)} == set(keys)
    assert list(file.parent.iterdir()) == [file]


def test_lines_that_are_no_entries_are_passed_over(file: Path) -> None:
    file.parent.mkdir()
    good = text(KEYS[0])
    file.write_text(
        f"\n#box {good}\nbox\nbox ssh-ed25519\nbox ssh-ed25519 ???\n@odd box {good}\n \tbox {good} c\n|1|x {good}\n"
    )
    assert [entry.where for entry in read_entries(file) if entry.speaks_of("box")] == [f"{file}:7"]


@given(
    names=st.lists(st.text("ab.*?!", min_size=1, max_size=4), min_size=1, max_size=3), name=st.text("ab.", min_size=1)
)
def test_patterns_match_as_in_openssh(names: list[str], name: str) -> None:
    """Against the rule itself, written out: a negated hit excludes, else any hit will do."""
    import fnmatch

    from fleet.ssh.configfile import matches

    def fits(pattern: str) -> bool:
        return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))

    excluded = any(fits(pattern[1:]) for pattern in names if pattern.startswith("!"))
    hit = any(fits(pattern) for pattern in names if not pattern.startswith("!"))
    assert matches(names, name) is (hit and not excluded)
