"""Secrets: taken by name from a file on this side, sent over stdin, kept in a file that only the login can read.

A value is never part of an argument, a message or an exception; a name may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NoReturn

from fleet.errors import RemoteFailed, Usage
from fleet.ssh import Cmd, Deadline, Transport

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SET: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}


def read_allowed(path: Path, allow: Iterable[str], *, override: Path | None = None) -> dict[str, str]:
    """The allowed names and their values. Of every other line nothing but the name is looked at.

    Lines are `NAME=VALUE` with an optional `export`, in single or double quotes or plain, where ` #` begins a comment.
    `override` is an instance's own file; what it has wins. Raises Usage, with names alone, for a file that cannot be
    read, a line that cannot be understood, and allowed names that neither file has.
    """
    allowed = frozenset(allow)
    values = _read(path, allowed)
    if override is not None:
        values |= _read(override, allowed)
    missing = sorted(allowed - set(values))
    if missing:
        places = f"{path}" if override is None else f"{override} and {path}"
        raise Usage(
            f"{places}: no value for {', '.join(missing)}",
            why="secrets.allow in fleet.json promises these names to runs",
            fix="add them to the file, or take them out of secrets.allow",
            example=f"{missing[0]}=...",
        )
    return values


def send(transport: Transport, deploy_dir: str, name: str, values: Mapping[str, str], *, deadline: Deadline) -> None:
    """Replace the set `name` on the host, whole or not at all. Raises Usage for what one line cannot hold."""
    for key, value in values.items():
        if not _NAME.fullmatch(key) or any(character in value for character in "\n\r\0"):
            _refuse(f"secret {key!r} cannot be sent", "a name is letters, digits and _, and a value is one line")
    data = "".join(f"{key}={value}\n" for key, value in sorted(values.items())).encode()
    _run(transport, deploy_dir, name, str(len(data)), data, deadline)


def remove(transport: Transport, deploy_dir: str, name: str, *, deadline: Deadline) -> None:
    """Remove the set `name` from the host, if it is there."""
    _run(transport, deploy_dir, name, "-", b"", deadline)


def _run(transport: Transport, deploy_dir: str, name: str, size: str, data: bytes, deadline: Deadline) -> None:
    if not _SET.fullmatch(name):
        _refuse(f"{name!r} is no name of a set of secrets", "it becomes a file name: a-z, 0-9 and -")
    result = transport.exec(Cmd.script("env-secrets.sh", deploy_dir, name, size), stdin=data, deadline=deadline)
    if not result.ok:
        # The script writes only words of its own to stderr, never what it read.
        raise RemoteFailed(
            f"{transport.name}: secrets {name!r}: {result.err.decode('utf-8', 'replace').strip() or 'refused'}",
            why="a set is replaced whole or not at all, so the former one is still there",
            fix="see whether deploy_dir can be written and has space",
            example=f"fleet run {transport.name} -- df -h",
            host=transport.name,
        )


def _read(path: Path, allowed: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        _refuse(f"{path}: {error.strerror}", "secrets.file in fleet.json names it")
    except UnicodeDecodeError:
        _refuse(f"{path}: not UTF-8", "values are sent as text")
    for number, line in enumerate(lines, 1):
        key, equals, text = line.strip().partition("=")
        key = re.sub(r"^export\s+", "", key).strip()
        if not key or key.startswith("#"):
            continue
        if not equals or not _NAME.fullmatch(key):
            # The line may hold a value in a place where nobody expects one, so it is not shown.
            _refuse(f"{path}:{number}: not a line NAME=VALUE", "nothing is guessed about secrets")
        if key in allowed:
            value = _value(text.strip())
            if value is None:
                _refuse(f"{path}:{number}: the quotes of {key} do not match", "a value ends on its line")
            found[key] = value
    return found


def _value(text: str) -> str | None:
    """A value without quotes and comment, None if its quotes do not match."""
    if text[:1] == "'":
        match = re.fullmatch(r"'([^']*)'\s*(?:#.*)?", text)
        return match[1] if match else None
    if text[:1] == '"':
        match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?', text)
        return re.sub(r"\\(.)", lambda part: _ESCAPES.get(part[1], part[1]), match[1]) if match else None
    return re.sub(r"(^|\s+)#.*$", "", text)


def _refuse(what: str, why: str) -> NoReturn:
    raise Usage(what, why=why, fix="correct it; the message names no value on purpose", example="HF_TOKEN=...")
