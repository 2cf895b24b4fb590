"""The commands that are sent to hosts: scripts of `fleet/remote`, with the functions that they share in front."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from fleet import remote
from fleet.ssh import Cmd

_FUNCTIONS: Final = "release-functions.sh"
_VERIFY: Final = "release-verify.sh"


def inspect_command(deploy_dir: str, python: str) -> Cmd:
    """Report what a deploy must know. Changes nothing."""
    return _script("release-inspect.sh", deploy_dir, python)


def receive_command(
    deploy_dir: str,
    machine: str,
    release: str,
    digests: tuple[str, str],
    *,
    base: str,
    switch: bool,
    seconds: int,
    silence: int,
    parts: int = 0,
    python: str,
) -> Cmd:
    """Receive a release on stdin. `digests` are those of manifest and checksum list; `base` may be empty.

    The host gives up after `seconds`, or when nothing has arrived for `silence` seconds. Among the files come the lists
    of so many `parts`.
    """
    limits = (str(seconds), python, str(silence), str(parts))
    arguments = (deploy_dir, machine, release, *digests, base, _action(switch), *limits)
    return _script("receive.sh", *arguments, verify=True)


def activate_command(deploy_dir: str, release: str, digest: str, switch: bool, python: str) -> Cmd:
    """Verify a release that is there and make it current. An empty `release` means the previous one."""
    return _script("release-activate.sh", deploy_dir, release, digest, _action(switch), python, verify=True)


def verify_command(deploy_dir: str, release: str, python: str) -> Cmd:
    """Verify a release that is there. Changes nothing."""
    return _script("verify-release.sh", deploy_dir, release, python, verify=True)


def list_command(deploy_dir: str, python: str) -> Cmd:
    """Report every release."""
    return _script("release-list.sh", deploy_dir, python)


def prune_command(deploy_dir: str, keep: int, log_days: int, remove: bool, python: str) -> Cmd:
    """List what can go; with `remove`, remove of it what stdin names."""
    return _script("release-prune.sh", deploy_dir, str(keep), str(log_days), "remove" if remove else "list", python)


def _action(switch: bool) -> str:
    return "switch" if switch else "keep"


def _script(name: str, *arguments: str, verify: bool = False) -> Cmd:
    parts = (_FUNCTIONS, _VERIFY, name) if verify else (_FUNCTIONS, name)
    return Cmd(("sh", "-c", "".join(map(_text, parts)), name, *arguments))


@cache
def _text(name: str) -> str:
    return (Path(remote.__path__[0]) / name).read_text(encoding="utf-8")
