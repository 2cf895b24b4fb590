"""A host's effective settings: what the endpoint says, else OpenSSH's configuration, else OpenSSH's defaults.

`ssh -G` answers when OpenSSH is installed, so `Include`, `Match` and aliases mean what the user knows they mean. It is
asked once per host and process, and not at all for hosts that the files do not mention.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import NamedTuple

from fleet.errors import Usage
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.evaluation import SEVERAL_WORDS, USED, Evaluation, configuration_files
from fleet.ssh.tokens import Tokens, account

#: keyword -> words, as `Evaluation.values`
Values = dict[str, tuple[str, ...]]
#: Defaults of OpenSSH that need a security key or an algorithm that is no longer taken.
_NOT_OURS = {"~/.ssh/id_dsa", "~/.ssh/id_xmss", "~/.ssh/id_ecdsa_sk", "~/.ssh/id_ed25519_sk"}
_IDENTITIES = ("~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519")
_USER_FILES = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_SYSTEM_FILES = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


class Settings(NamedTuple):
    """How to reach and to recognise one host, with every gap filled."""

    hostname: str
    port: int
    user: str
    identities: tuple[Path, ...]
    identities_only: bool
    agent: str | None
    """Path of the agent's socket; None for the login session's own agent, `none` for no agent."""
    jumps: tuple[str, ...]
    """Hops of the configuration as `[user@]host[:port]`."""
    proxy_command: str | None
    """A line for the local shell whose stdin and stdout lead to the host."""
    user_known_hosts: tuple[Path, ...]
    system_known_hosts: tuple[Path, ...]
    host_key_alias: str | None
    revoked: Path | None
    """A file of public keys that must not be accepted."""


@functools.cache
def find_ssh() -> str | None:
    """The path of OpenSSH's client, or None."""
    from shutil import which

    return which("ssh")


def effective(endpoint: Endpoint) -> Settings:
    """The settings of a host. Raises Usage for a configuration that cannot be followed."""
    settings = _settings(endpoint.host, endpoint.user, endpoint.port, endpoint.ssh_config)
    if endpoint.identity is not None:
        settings = settings._replace(identities=(endpoint.identity.expanduser(),), identities_only=True)
    if endpoint.jump:
        settings = settings._replace(jumps=(), proxy_command=None)
    return settings


@functools.cache
def _settings(host: str, user: str | None, port: int | None, given: Path | None) -> Settings:
    values: Values = {} if user is None else {"user": (user,)}
    values |= {} if port is None else {"port": (str(port),)}
    own = Evaluation(host, values, judge=find_ssh() is None)
    for path in configuration_files(given):
        own.read(path)
    ssh = find_ssh()
    if ssh is None or (own.values == values and not own.ask_openssh):
        return _filled(host, own.values)
    asked = ask(ssh, host, user, port, given)
    if not own.ask_openssh:
        # OpenSSH prints lists of files without quotes; a path with a space is whole only in the file.
        asked |= {keyword: words for keyword, words in own.values.items() if keyword in SEVERAL_WORDS}
    return _filled(host, asked)


def ask(ssh: str, host: str, user: str | None, port: int | None, given: Path | None) -> Values:
    """What `ssh -G` prints for a host, of the keywords that `fleet` follows."""
    import subprocess

    options = [] if given is None else ["-F", str(given)]
    options += ([] if user is None else ["-l", user]) + ([] if port is None else ["-p", str(port)])
    command = [ssh, "-G", *options, "--", host]
    done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip()
        raise Usage(
            f"OpenSSH refuses its configuration for {host!r}: {told}",
            why="fleet asks `ssh -G` how a host is reached",
            fix="correct the configuration file until this command prints settings",
            example=f"ssh -G {host}",
        )
    values: Values = {}
    # Bytes of a path need not be UTF-8.
    for line in os.fsdecode(done.stdout).splitlines():
        keyword, _, value = line.partition(" ")
        if keyword in USED:
            values[keyword] = (*values.get(keyword, ()), *(value.split() if keyword in SEVERAL_WORDS else [value]))
    return values


def _filled(host: str, values: Values) -> Settings:
    """Defaults for what is missing, `~` and tokens expanded."""

    def one(keyword: str) -> str | None:
        return values.get(keyword, (None,))[0]

    hostname = (one("hostname") or host).replace("%h", host).replace("%%", "%").lower()
    port, user = one("port") or "22", one("user") or account()
    tokens = Tokens.of(host=host, hostname=hostname, port=port, user=user)
    _refuse_unsupported(host, port, one("proxyusefdpass"))

    skipped = {"none", *_NOT_OURS}

    def paths(keyword: str, default: tuple[str, ...] = ()) -> tuple[Path, ...]:
        return tuple(tokens.path(word) for word in values.get(keyword, default) if word not in skipped)

    command, jump, agent = one("proxycommand"), one("proxyjump"), one("identityagent")
    return Settings(
        hostname=hostname,
        port=int(port),
        user=user,
        identities=paths("identityfile", _IDENTITIES),
        identities_only=one("identitiesonly") in {"yes", "true"},
        agent=_agent(agent, tokens),
        jumps=() if jump is None or jump == "none" else tuple(hop.strip() for hop in jump.split(",")),
        proxy_command=None if command is None or command == "none" else tokens.command(command),
        user_known_hosts=paths("userknownhostsfile", _USER_FILES),
        system_known_hosts=paths("globalknownhostsfile", _SYSTEM_FILES),
        host_key_alias=one("hostkeyalias"),
        revoked=next(iter(paths("revokedhostkeys")), None),
    )


def _agent(word: str | None, tokens: Tokens) -> str | None:
    if word is None or word in {"none", "SSH_AUTH_SOCK"}:
        return None if word == "SSH_AUTH_SOCK" else word
    return str(tokens.path("${" + word[1:] + "}" if word.startswith("$") and word[1:2] != "{" else word))


def _refuse_unsupported(host: str, port: str, fdpass: str | None) -> None:
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise Usage(
            f"{host!r} has the port {port!r} in OpenSSH's configuration",
            why="a port is a number from 1 to 65535",
            fix="correct the Port line",
            example="Port 22",
        )
    if fdpass == "yes":
        raise Usage(
            f"{host!r} is reached with ProxyUseFdpass, which is not supported",
            why="it hands over a connection that only OpenSSH's client can take",
            fix="use ProxyJump, or a ProxyCommand that passes the bytes itself",
            example="ProxyJump bastion",
        )
