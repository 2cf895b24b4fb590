"""OpenSSH's configuration: our own reading equals `ssh -G` on thirty files, and the program is asked if it must."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.errors import Usage
from fleet.ssh import Endpoint, configuration, route
from fleet.ssh.configuration import Settings, effective

CASES = {
    "empty": "",
    "only comments": "# Host box\n   # User nobody\n\n",
    "a host": "Host box\n  HostName 192.0.2.7\n  Port 2222\n  User ada\n",
    "another host": "Host other\n  HostName 192.0.2.7\n  User ada\n",
    "equals signs": "Host=box\nHostName = 192.0.2.7\nPort=2222\nUser =ada\n",
    "case of keywords": "hOST box\n  hostname 192.0.2.7\n  USER ada\n  pOrT 24\n",
    "quotes": 'Host "box"\n  User "ada lovelace"\n  IdentityFile "/tmp/a key"\n',
    "single quotes and backslashes": "Host box\n  User 'ada'\n  IdentityFile /tmp/a\\ key\n",
    "comments after values": "Host box # mine\n  Port 2222 # odd\n  User ada\n",
    "tabs and carriage returns": "Host\tbox\r\n\tUser\tada\r\n\tPort\t24\r\n",
    "the first value wins": "Host box\n  User ada\nHost *\n  User grace\n  Port 24\nHost box\n  Port 25\n",
    "before any host": "User ada\nHost box\n  User grace\n",
    "patterns": "Host b?x *.example\n  User ada\nHost b*\n  Port 24\n",
    "a negated pattern": "Host * !box\n  User ada\nHost !other *\n  Port 24\n",
    "only a negated pattern": "Host !other\n  User ada\n",
    "case of hosts": "Host BOX\n  User ada\nHost box\n  Port 24\n",
    "identities add up": "Host box\n  IdentityFile ~/.ssh/a\nHost *\n  IdentityFile /tmp/b\n  IdentityFile ~/.ssh/a\n",
    "tokens in identities": "Host box\n  User ada\n  IdentityFile ~/.ssh/%h_%r_%p_%n\n  IdentityFile %d/key-%u%%\n",
    "no identity": "IdentityFile none\nIdentitiesOnly yes\n",
    "tokens in the name": "Host box\n  HostName %h.Example.COM\n",
    "agent": "Host box\n  IdentityAgent /tmp/%r.sock\nHost *\n  IdentityAgent none\n",
    "agent of the session": "IdentityAgent SSH_AUTH_SOCK\n",
    "jumps": "Host box\n  ProxyJump ada@gate:2222,second\n",
    "no jump": "Host box\n  ProxyJump none\nHost *\n  ProxyJump gate\n",
    "a command": 'Host box\n  ProxyCommand nc -x "a b" %h %p # all of it\n',
    "a jump before a command": "ProxyJump gate\nProxyCommand nc %h %p\n",
    "a command before a jump": "ProxyCommand nc %h %p\nProxyJump gate\n",
    "known hosts": 'UserKnownHostsFile ~/.ssh/a "/tmp/b c"\nGlobalKnownHostsFile /tmp/c /tmp/d\nHostKeyAlias gate\n',
    "an include": "Include {folder}/more/*.conf\nHost box\n  User late\n",
    "an include in a host": "Host other\n  Include {folder}/more/a.conf\nHost box\n  Include {folder}/more/b.conf\n",
    "match": "Match host box user ada\n  Port 24\nMatch originalhost b* !user ada\n  Port 25\nMatch all\n  User ada\n",
    "match after a name": "Host box\n  HostName 192.0.2.7\nMatch host 192.*\n  User ada\nMatch !host box\n  Port 9\n",
    "revoked keys": "RevokedHostKeys ~/.ssh/revoked\n",
    "other keywords": "ForwardAgent yes\nLocalForward 1 host:2\nSendEnv LANG LC_*\nServerAliveInterval 5\nUser ada\n",
}
MORE = {
    "a.conf": "User ada\nHost box\n  Port 24\nHost other\n  Port 25\n",
    "b.conf": "Host *\n  IdentityFile /tmp/b\nHost box\n  HostName 192.0.2.8\n",
}


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    """Settings are remembered for the life of a process."""
    configuration._settings.cache_clear()
    yield
    configuration._settings.cache_clear()


@pytest.fixture
def without_ssh(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes this machine one without OpenSSH's client."""

    def remove() -> None:
        monkeypatch.setattr(configuration, "find_ssh", lambda: None)
        configuration._settings.cache_clear()

    return remove


def box(folder: Path, text: str, **more: object) -> Endpoint:
    """The endpoint `box` under a configuration file with this text."""
    (folder / "more").mkdir(exist_ok=True)
    for name, content in MORE.items():
        (folder / "more" / name).write_text(content)
    (folder / "config").write_text(text.replace("{folder}", str(folder)))
    return replace(Endpoint("box", "box", ssh_config=folder / "config"), **more)  # type: ignore[arg-type]


def asked(endpoint: Endpoint) -> Settings:
    """What `ssh -G` says, whether or not the question could have been spared."""
    ssh = configuration.find_ssh()
    assert ssh is not None
    values = configuration.ask(ssh, endpoint.host, endpoint.user, endpoint.port, endpoint.ssh_config)
    return configuration._filled(endpoint.host, values)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("user", [None, "ada"])
def test_our_reading_equals_openssh(
    tmp_path: Path, without_ssh: Callable[[], None], case: str, user: str | None
) -> None:
    endpoint = box(tmp_path, CASES[case], user=user)
    expected = asked(endpoint)
    if case == "known hosts":
        # `ssh -G` prints lists without quotes, so a name with a space cannot be told from two names.
        split = (Path("/tmp/b"), Path("c"))
        assert expected.user_known_hosts[1:] == split
        expected = expected._replace(user_known_hosts=(*expected.user_known_hosts[:1], Path("/tmp/b c")))
    assert effective(endpoint) == expected
    without_ssh()
    assert effective(endpoint) == expected


def test_there_are_thirty_files() -> None:
    assert len(CASES) >= 30
    assert len(set(CASES.values())) == len(CASES)


def test_openssh_is_not_asked_about_hosts_that_the_files_do_not_mention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[str] = []
    monkeypatch.setattr(configuration, "ask", lambda ssh, host, *rest: questions.append(host) or {})
    text = "Host other\n  User ada\nHost *\n  SendEnv LANG\n  HashKnownHosts yes\n"
    for address in range(5):
        effective(replace(box(tmp_path, text), host=f"192.0.2.{address}"))
    assert not questions
    effective(box(tmp_path, text + "Host box\n  Port 24\n"))
    configuration._settings.cache_clear()
    effective(replace(box(tmp_path, text + "Match exec true\n  Port 24\n"), host="192.0.2.1"))
    configuration._settings.cache_clear()
    effective(box(tmp_path, text + "CanonicalizeHostname yes\n"))
    assert questions == ["box", "192.0.2.1", "box"]


def test_openssh_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []
    monkeypatch.setattr(configuration, "ask", lambda ssh, host, *rest: questions.append(host) or {})
    for _ in range(3):
        effective(box(tmp_path, "Port 24\n"))
    assert questions == ["box"]


def test_what_fleet_says_wins(tmp_path: Path) -> None:
    text = "Host box\n  User ada\n  Port 24\n  IdentityFile /tmp/a\n  ProxyCommand nc %h %p\n"
    settings = effective(box(tmp_path, text, user="grace", port=25, identity=Path("/tmp/mine")))
    assert (settings.user, settings.port) == ("grace", 25)
    assert (settings.identities, settings.identities_only) == ((Path("/tmp/mine"),), True)
    assert settings.proxy_command == "nc box 25"
    assert effective(box(tmp_path, text, jump=(Endpoint("gate", "gate"),))).proxy_command is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Match exec 'touch {folder}/ran'\n  User ada\n", "config:1: 'Match exec' is not followed without OpenSSH"),
        ("Host *\nMatch localnetwork 10.0.0.0/8\n", "config:2: 'Match localnetwork' is not followed"),
        ("Match final all\n", "'Match final' is not followed"),
        ('User "ada\n', "has an open quote"),
        ("%%%\n", "is no setting"),
        ("Include config\nInclude {folder}/config\n", "too many files include each other"),
    ],
)
def test_what_is_not_followed_is_refused(tmp_path: Path, without_ssh: Callable[[], None], text: str, told: str) -> None:
    without_ssh()
    with pytest.raises(Usage) as caught:
        effective(box(tmp_path, text))
    assert told in caught.value.what
    assert "install OpenSSH" in caught.value.fix
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Host box\n  ProxyUseFdpass yes\n  ProxyCommand nc %h %p\n", "ProxyUseFdpass"),
        ("Host box\n  NoSuchKeyword yes\n  User ada\n", "OpenSSH refuses its configuration for 'box'"),
        ("Host box\n  IdentityFile /tmp/%Z\n", "%Z in '/tmp/%Z' is not supported"),
        ("Host box\n  HostName $(reboot)\n  ProxyCommand nc %h %p\n", "cannot become part of the command"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Usage) as caught:
        effective(box(tmp_path, text))
    assert told in caught.value.what


def test_matching_by_command_works_with_openssh(tmp_path: Path) -> None:
    assert effective(box(tmp_path, "Match exec true\n  User ada\n")).user == "ada"


def test_the_way_over_hops(tmp_path: Path) -> None:
    text = "Host box\n  ProxyJump ada@gate:2222,[2001:db8::1]\nHost gate\n  ProxyJump first\n"
    way = route(box(tmp_path, text))
    assert [(hop.name, hop.host, hop.port, hop.user) for hop in way] == [
        ("first", "first", None, None),
        ("ada@gate:2222", "gate", 2222, "ada"),
        ("[2001:db8::1]", "2001:db8::1", None, None),
        ("box", "box", None, None),
    ]
    assert {hop.trust_command for hop in way} == {"fleet trust box"}
    explicit = box(tmp_path, text, jump=(Endpoint("a", "a"), Endpoint("b", "b")))
    assert [hop.name for hop in route(explicit)] == ["a", "b", "box"]


def test_a_way_in_a_circle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="more than 8 hosts"):
        route(box(tmp_path, "Host box b\n  ProxyJump a\nHost a\n  ProxyJump b\n"))


def test_openssh_agrees_on_what_a_file_says(tmp_path: Path) -> None:
    """The comparison above is worth something only if `ssh -G` reads these files."""
    endpoint = box(tmp_path, CASES["a host"])
    done = subprocess.run(["ssh", "-G", "-F", str(endpoint.ssh_config), "box"], capture_output=True, text=True)
    assert "hostname 192.0.2.7\n" in done.stdout
    assert asked(endpoint).hostname == "192.0.2.7"
